"""What a network can predict: one file for each kind of output, and their registry."""
