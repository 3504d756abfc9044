"""Models from their Hugging Face config.json."""
