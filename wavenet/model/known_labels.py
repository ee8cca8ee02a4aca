"""The labels that a trained model knows."""

import difflib
from collections.abc import Sequence

from wavenet.errors import UsageError
from wavenet.system.text import composed

# How many known labels a message names at most.
LISTED = 20


def choose(labels: Sequence[str], known: Sequence[str]) -> list[int]:
    """The index of each label among the known ones. Raises UsageError for an unknown label."""
    return [_index(composed(label).strip(), known) for label in labels]


def in_turn(labels: Sequence[str], known: Sequence[str], streams: range) -> list[int]:
    """The index of each stream's label: those asked for in turn, or all known; [] without any.

    Raises UsageError for an unknown label.
    """
    every = choose(labels, known) or range(len(known))
    return [every[i % len(every)] for i in streams] if every else []


def _index(label: str, known: Sequence[str]) -> int:
    if label in known:
        return known.index(label)
    if not known:
        raise UsageError("label", label, "the model was trained without labels", "leave it out")
    raise UsageError("label", label, "unknown", f"the model knows {known_line(label, known)}")


def known_line(label: str, known: Sequence[str]) -> str:
    """The known labels as a message shows them, and the one that an unknown `label` is nearest to.

    That is one that differs in a few letters or in their case, or has the label as a folder.
    """
    by_word = {word.casefold(): k for k in reversed(known) for word in (*k.split("/"), k)}
    nearest = difflib.get_close_matches(label.casefold(), by_word, 1, 0.6)
    hint = f"; did you mean {by_word[nearest[0]]}?" if nearest else ""
    return labels_line(known) + hint


def labels_line(known: Sequence[str]) -> str:
    """The known labels as a message shows them: the first `LISTED` of many."""
    more = f", ... ({LISTED} of {len(known)})" if len(known) > LISTED else ""
    return ", ".join(known[:LISTED]) + more
