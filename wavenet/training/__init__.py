"""A run: its folder, its loop, its processes."""
