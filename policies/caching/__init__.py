"""Prefix caching as vLLM 0.33 does it: plain functions over integer arrays, compiled by numba."""
