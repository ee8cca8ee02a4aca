"""The labels that a trained model knows."""

import difflib
import unicodedata
from collections.abc import Sequence

from wavenet.errors import EngineError

LISTED = 20  # known labels that a message names


def choose(asked: Sequence[str], known: Sequence[str]) -> list[int]:
    """Where the labels asked for stand among the known ones. Raises EngineError."""
    return [_index(composed(label).strip(), known) for label in asked]


def _index(label: str, known: Sequence[str]) -> int:
    if label in known:
        return known.index(label)
    if not known:
        raise EngineError(f"--label {label}: the model was trained without labels; leave it out")
    nearest = difflib.get_close_matches(label, known, 1, 0.6)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    raise EngineError(f"--label {label}: unknown; the model knows {labels_line(known)}{hint}")


def labels_line(known: Sequence[str]) -> str:
    """Known labels in a message: not a thousand of them."""
    more = f", ... ({LISTED} of {len(known)})" if len(known) > LISTED else ""
    return ", ".join(known[:LISTED]) + more


def composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)
