"""Commands in messages, which users paste into a shell."""

import os
import re
import shlex
import subprocess
from pathlib import Path


def command(*words: object) -> str:
    """A command line that gives these words to a program, with quotes where a shell wants them.

    A path that begins with a dash is written so that it is no option. A word that is a parameter of
    this library in backticks, as `errors` has it, stays as it is.
    """
    texts = [f".{os.sep}{w}" if isinstance(w, Path) and f"{w}"[0] == "-" else f"{w}" for w in words]
    return " ".join(t if re.fullmatch("`[a-z_]+`", t) else _quoted(t) for t in texts)


def _quoted(text: str) -> str:
    return subprocess.list2cmdline([text]) if os.name == "nt" else shlex.quote(text)
