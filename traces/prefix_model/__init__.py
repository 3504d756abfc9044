"""Shared prefixes for traces that do not say what their prompts have in common."""

from .apply import apply_prefix_model, parse_prefix_model

__all__ = ["apply_prefix_model", "parse_prefix_model"]
