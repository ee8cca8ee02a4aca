"""The cards of the trained models that come with the program: models/README.md, by model."""

import re

from wavenet.system import resources


def card(name: str) -> list[str]:
    """The paragraphs about a model as plain text, each beginning with what it is about."""
    text = (resources.folder("models") / "README.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    paragraphs = section[1].strip().split("\n\n") if section else []
    return [_plain(p) for p in paragraphs if not p.startswith(("<!--", "|", "```"))]


def _plain(paragraph: str) -> str:
    """Without the marks of Markdown, in one line."""
    # Backticks stay: they tell commands and names from words.
    without_links = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split()))
    return without_links.replace("**", "")
