"""Calibration on a real GPU: the only package that may import torch. Empty in this release."""
