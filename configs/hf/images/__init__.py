"""The image rule of every vision tower, read from a config.json and its processor's file."""
