"""Parameters and weight bytes of a model: its weights as a short list, added up."""
