"""Pages that a program finishes: what stands above a mark is by hand, the rest is made again."""

from pathlib import Path

DOCS = Path(__file__).parents[1]
MARK = "<!-- From here on: made by `python -m docs.tools.{}` -->\n"


def finished(page: Path, tool: str, text: str) -> str:
    """The whole page: its part by hand with the mark, and then `text`."""
    mark = MARK.format(tool)
    by_hand, found, _ = page.read_text(encoding="utf-8").partition(mark)
    if not found:
        raise ValueError(f"{page}: has no line {mark}")
    return f"{by_hand}{found}\n{text.strip()}\n"
