"""What a model keeps, what a GPU offers, and the errors that a user sees."""
