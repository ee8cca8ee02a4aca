"""What times and counts a score can have."""

import math
from numbers import Real

from wavenet.errors import ScoreError, UsageError

LONGEST_SECONDS = 24 * 3600.0
# Notes or segments of one score.
MOST = 100_000


def check_times(parameter: str, start: float, end: float) -> None:
    """Raise UsageError unless `start` and `end`, in seconds, enclose a part of one day."""
    numbers = all(isinstance(time, Real) and math.isfinite(time) for time in (start, end))
    if not numbers:
        raise UsageError(parameter, f"{start} to {end}", "its times must be numbers of seconds")
    shown = f"{start:g} s to {end:g} s"
    if start < 0:
        raise UsageError(parameter, shown, "begins before 0", "count time from the beginning")
    if end == start:
        raise UsageError(parameter, shown, "is a point in time", "give it a start and a later end")
    if end < start:
        raise UsageError(parameter, shown, "ends before it begins", "swap the two times")
    if end > LONGEST_SECONDS:
        advice = "times are in seconds, of a day at most"
        raise UsageError(parameter, shown, "ends after more than a day", advice)


def check_count(subject: object, count: int, noun: str) -> None:
    """Raise ScoreError for more than `MOST` notes or segments, whichever `noun` says."""
    if count > MOST:
        raise ScoreError(subject, f"has more than {MOST:,} {noun}", "cut it into several")
