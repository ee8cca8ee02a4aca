"""The version, which `CONTRIBUTING.md` says when to change."""

__version__ = "0.1.0"
