"""The labels that a trained model knows."""

import difflib
import unicodedata
from collections.abc import Sequence

from wavenet.errors import UsageError

# How many known labels a message names at most.
LISTED = 20


def choose(labels: Sequence[str], known: Sequence[str]) -> list[int]:
    """The index of each label among the known ones. Raises UsageError for an unknown label."""
    return [_index(composed(label).strip(), known) for label in labels]


def _index(label: str, known: Sequence[str]) -> int:
    if label in known:
        return known.index(label)
    if not known:
        raise UsageError("label", label, "the model was trained without labels", "leave it out")
    nearest = difflib.get_close_matches(label, known, 1, 0.6)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    raise UsageError("label", label, "unknown", f"the model knows {labels_line(known)}{hint}")


def labels_line(known: Sequence[str]) -> str:
    """The known labels as a message shows them: the first `LISTED` of many."""
    more = f", ... ({LISTED} of {len(known)})" if len(known) > LISTED else ""
    return ", ".join(known[:LISTED]) + more


def composed(text: str) -> str:
    """Text in Unicode's composed form, NFC."""
    return unicodedata.normalize("NFC", text)
