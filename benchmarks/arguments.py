"""Command lines of the scripts: `--help` prints what stands at a script's head."""

import argparse


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser for a script with this docstring."""
    form = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=doc, formatter_class=form)
