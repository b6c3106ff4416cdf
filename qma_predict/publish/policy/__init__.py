"""Which units a list names: by what a check is worth, and by a draw with known probabilities."""
