"""Groupings: which layers share a page and how large it is, one idea per file."""
