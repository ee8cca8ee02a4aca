"""Command lines of the scripts: `--help` prints what stands at a script's head."""

import argparse
import sys
from pathlib import Path


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser for a script with this docstring."""
    form = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=doc, formatter_class=form)


def require_new(folder: Path, instead: str = "name a new folder") -> None:
    """End the script if what it makes would come among other files. `instead` says what to do."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        sys.exit(f"{folder}: is not an empty folder; {instead}")
