"""Others' measurements as profiles."""
