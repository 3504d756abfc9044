"""Hugging Face config.json files: which caches a model has, how many parameters, how long."""
