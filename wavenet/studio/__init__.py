"""The studio: a page on this machine that plays models, watches runs and draws stacks."""
