"""Carvings: how pages of each group come out of the pool, one idea per file."""
