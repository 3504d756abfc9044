"""Profiles of real GPUs, from others' measurements or one's own: the only package for torch."""
