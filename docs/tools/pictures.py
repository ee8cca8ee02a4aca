"""All pictures of the pages, made again: the same files, unless what they show has changed.

    python -m docs.tools.pictures [--check]

With --check each is drawn and then put back as it was; those that came out different are named.
The picture of the studio is left out where there is no Chromium.
"""

import argparse
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from docs.tools import gallery, sound_figures, student_figures, studio_pictures

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TOOLS = (student_figures, gallery, sound_figures, studio_pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    before = {path: path.read_bytes() for path in DOCS.rglob("*.png")}
    try:
        same = draw(before)
    finally:
        if options.check:
            for path in DOCS.rglob("*.png"):
                path.unlink()
            for path, content in before.items():
                path.write_bytes(content)
    sys.exit(options.check and not same)


def draw(before: Mapping[Path, bytes]) -> bool:
    """Draw all pictures, and tell of each whether it is as before; returns whether all are."""
    same = True
    for tool in TOOLS:
        if tool is studio_pictures and not any(map(shutil.which, studio_pictures.BROWSERS)):
            print("docs/studio.png: left out, there is no Chromium")
            continue
        for path in tool.draw_all():
            is_same = before.get(path) == path.read_bytes()
            same = same and is_same
            state = "as before" if is_same else "another than before"
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB, {state}")
    return same


if __name__ == "__main__":
    main()
