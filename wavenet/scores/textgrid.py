"""Interval tiers of Praat's TextGrid files, in their long and in their short text format."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wavenet.errors import ScoreError, UsageError, reason_of
from wavenet.scores import files
from wavenet.system.text import composed, listed

_INTERVALS = "IntervalTier"
# Of its first line, the short format's as well.
_TEXT, _BINARY = "ooTextFile", b"ooBinaryFile"
# praatio reads no times such as 1e-05 in the long format.
_WITH_EXPONENT = re.compile(r"^(\s*xm(?:in|ax) = )([0-9.]+[eE][-+]?[0-9]+)", re.MULTILINE)
_AS_TEXT = "save it in Praat as a text file"
# A tier and its last interval end at the same time, up to rounding.
_ROUNDING_SECONDS = 0.001


def rows(path: Path, tier: str | None = None) -> Iterator[files.Row]:
    """The intervals of the only interval tier, or of the one that is named, empty ones as well.

    Raises ScoreError for a file that is no TextGrid or is damaged, for one without interval tiers,
    and where there are several and none is named; UsageError for a name that is none of theirs.
    """
    chosen = _chosen(path, _parsed(path), tier)
    name = chosen["name"]
    end = 0.0
    for number, entry in enumerate(chosen["entries"], 1):
        where = f"tier {name}, interval {number}"
        try:
            row = files.Row(where, float(entry[0]), float(entry[1]), entry[2])
        except ValueError:
            raise ScoreError(f"{path}: {where}", "has no times", _AS_TEXT) from None
        end = row.end
        yield row
    # Intervals fill their tier, so that one that was cut off leaves a gap.
    if abs(end - chosen["xmax"]) > _ROUNDING_SECONDS:
        reason = f"is damaged: intervals end at {end:g} s, and the tier at {chosen['xmax']:g} s"
        raise ScoreError(f"{path}: tier {name}", reason, _AS_TEXT)


def _parsed(path: Path) -> list[dict[str, Any]]:
    """The tiers of a file."""
    if files.content(path).startswith(_BINARY):
        raise ScoreError(path, "is a binary TextGrid", _AS_TEXT)
    # praatio wants its last line to end, too.
    text = files.text_of(path) + "\n"
    text = _WITH_EXPONENT.sub(lambda m: f"{m[1]}{float(m[2]):.9f}", text)
    if _TEXT not in text.partition("\n")[0] or '"TextGrid"' not in text:
        raise ScoreError(path, "is no TextGrid", _AS_TEXT)
    from praatio.utilities import textgrid_io

    # What a damaged file makes praatio raise is of many classes.
    try:
        grid = textgrid_io.parseTextgridStr(text, includeEmptyIntervals=True)
    except Exception as e:
        raise ScoreError(path, f"is damaged ({reason_of(e)})", _AS_TEXT) from None
    if grid["xmin"] < 0:
        # praatio would drop the sign.
        raise ScoreError(path, "begins before 0 s", "shift its times to 0 in Praat")
    return list(grid["tiers"])


def _chosen(path: Path, tiers: list[dict[str, Any]], wanted: str | None) -> dict[str, Any]:
    intervals = [t for t in tiers if t["class"] == _INTERVALS]
    if not intervals:
        advice = "mark intervals in Praat, not points"
        raise ScoreError(path, "has no interval tier", advice)
    names = [composed(t["name"]).strip() for t in intervals]
    shown = listed(names)
    if wanted is None:
        if len(intervals) > 1:
            reason = f"has several tiers: {shown}"
            raise ScoreError(path, reason, "choose one with `tier`")
        return intervals[0]
    wanted = composed(wanted).strip()
    if wanted not in names:
        raise UsageError("tier", wanted, "unknown", f"{path} has {shown}")
    if names.count(wanted) > 1:
        advice = "rename one in Praat"
        raise UsageError("tier", wanted, f"{path} has several of this name", advice)
    return intervals[names.index(wanted)]
