"""The command line: one file a command. Nothing else prints, or names a `--flag`."""

from wavenet.cli.main import app

__all__ = ["app"]
