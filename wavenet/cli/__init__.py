"""The command line: a module for each command. Nothing else in the package prints."""

from wavenet.cli.main import app

__all__ = ["app"]
