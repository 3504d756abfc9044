"""Jenga's two levels of pages: numbered small pages in large ones, empty, held or cached."""
