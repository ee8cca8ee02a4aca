"""What a network is told besides the past: a file for each front end, and what carries it."""
