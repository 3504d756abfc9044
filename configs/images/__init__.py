"""Images: how many tokens one becomes, and what these take in the encoder cache."""
