"""`python cli.py ...` from a checkout does what the installed `wavenet` command does."""

from wavenet.cli.main import app

app()
