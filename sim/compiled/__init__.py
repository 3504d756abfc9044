"""The engine compiled: the same decisions as step by step, over arrays."""
