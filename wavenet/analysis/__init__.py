"""What a stack can reach, and what a trained network uses of it."""
