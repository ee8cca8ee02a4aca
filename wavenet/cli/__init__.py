"""The command line: a module for each command, and `main` with what all of them
take. Nothing else in the package prints."""

from wavenet.cli.main import app

__all__ = ["app"]
