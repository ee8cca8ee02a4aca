"""The grammar of scores that are typed: names with seconds, such as "C4:0.5 D4 -:0.25".

Names are notes or labels, and "-" is a rest. One follows the other in time; between them stand
spaces, commas or bars ("|"). A name without seconds lasts as long as the name before it.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from wavenet.errors import UsageError
from wavenet.scores.limits import LONGEST_SECONDS, MOST

REST = "-"
# What the first name lasts where it does not say.
FIRST_SECONDS = 0.5
LEAST_SECONDS = 0.001
# Of a word that a message shows.
_SHOWN = 40
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", re.ASCII)


class Span(NamedTuple):
    """A name and when it sounds, in seconds."""

    # As it was typed, and which word of the text it is, from 1.
    word: str
    number: int
    name: str
    start: float
    end: float
    # What stands behind "@"; "" where nothing does.
    mark: str


def spans(text: str, parameter: str, example: str, marks: bool = False) -> Iterator[Span]:
    """The names of a text in turn, without its rests.

    `parameter` and `example` are for messages. `marks` is whether "@" ends a name and its seconds.
    Raises UsageError for a word that is not of this grammar, for a text without a name, for more
    than a day and for more than `MOST` names.
    """
    if not isinstance(text, str):
        raise UsageError(parameter, f"of type {type(text).__name__}", "must be a text", example)
    now, length, count = 0.0, FIRST_SECONDS, 0
    for number, word in enumerate(filter(None, re.split(r"[\s,|]+", text)), 1):
        timed, _, mark = word.partition("@") if marks else (word, "", "")
        name, colon, seconds = timed.rpartition(":") if ":" in timed else (timed, "", "")
        lasts = _seconds(seconds, parameter, word, number, example) if colon else length
        if not name:
            raise refused(parameter, word, number, "has no name", example)
        start, now = now, now + lasts
        if now > LONGEST_SECONDS:
            raise refused(parameter, word, number, "ends after more than a day", "make it shorter")
        if name == REST:
            if marks and "@" in word:
                raise refused(parameter, word, number, "a rest has no velocity", "leave it out")
            continue
        length, count = lasts, count + 1
        if count > MOST:
            raise UsageError(
                parameter, None, f"has more than {MOST:,} names", "cut it into several"
            )
        if marks and "@" in word and not mark:
            raise refused(parameter, word, number, "nothing stands behind @", example)
        yield Span(word, number, name, start, now, mark)
    if not count:
        raise UsageError(parameter, None, "holds nothing that sounds", example)


def refused(parameter: str, word: str, number: int, reason: str, advice: str) -> UsageError:
    """The error for word `number` of a text, counted from 1."""
    shown = word if len(word) <= _SHOWN else word[:_SHOWN] + "..."
    return UsageError(parameter, f"word {number}, {shown}", reason, advice)


def _seconds(seconds: str, parameter: str, word: str, number: int, example: str) -> float:
    if not _DECIMAL.fullmatch(seconds):
        reason = "what stands behind its colon is no number of seconds"
        raise refused(parameter, word, number, reason, example)
    value = float(seconds)
    if value < LEAST_SECONDS:
        reason = f"lasts less than {LEAST_SECONDS:g} s"
        raise refused(parameter, word, number, reason, "decimals have a point, as in 0.5")
    return value
