"""A run: its folder, its training loop, its processes."""
