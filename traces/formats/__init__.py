"""One file per public trace format."""
