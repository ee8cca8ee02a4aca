"""What a stack can see, and what a trained network uses of it."""
