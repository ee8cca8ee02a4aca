"""Labelled segments of a recording, from the files that other programs write, and as typed.

Empty labels are silence: there is no segment for them.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from wavenet.errors import ScoreError, UsageError
from wavenet.scores import files, midi, textgrid
from wavenet.scores.limits import check_count, check_times
from wavenet.scores.notes import name_of
from wavenet.scores.typed import refused, spans
from wavenet.system.text import composed, listed

# As other programs spell them.
SUFFIXES = (".TextGrid", ".csv", *midi.SUFFIXES, ".txt")
EXAMPLE = 'write labels such as "three:0.5 -:0.2 four:0.4"'
HEADER = ["start", "end", "label"]
# Programs round times: segments that overlap by less follow each other.
_ROUNDING_SECONDS = 0.001
_POINT = "mark it from where it begins to where it ends"


@dataclass(frozen=True)
class Segment:
    """What is labelled from `start` to `end`, in seconds.

    Raises UsageError for times that are no part of a day, and for a label that is empty or cannot
    be printed.
    """

    start: float
    end: float
    label: str

    def __post_init__(self) -> None:
        check_times("segments", self.start, self.end)
        if not self.label or not self.label.isprintable():
            shown = f"{self.start:g} s to {self.end:g} s"
            reason = "its label holds a character that cannot be printed"
            raise UsageError("segments", shown, reason if self.label else "has no label")


def parse(text: str) -> list[Segment]:
    """The segments of a text such as "three:0.5 -:0.2 four", one after the other.

    Behind a colon stand its seconds: the first lasts 0.5 s where it does not say, any other as long
    as the one before it. "-" is silence; spaces, commas and bars part the words. Raises UsageError,
    which names the word.
    """
    segments = []
    for span in spans(text, "segments", EXAMPLE):
        label = _label(span.name)
        if not label.isprintable():
            reason = "holds a character that cannot be printed"
            raise refused("segments", span.word, span.number, reason, EXAMPLE)
        segments.append(Segment(span.start, span.end, label))
    return segments


def read(path: Path, tier: str | None = None, channel: int | None = None) -> list[Segment]:
    """The segments of a file, by start, with labels in Unicode's composed form.

    Its suffix says what it is: a .TextGrid of Praat; a .txt of labels from Audacity (start, end and
    label, with tabs between them); a .csv of start,end,label, with that header or without; or a
    MIDI file, whose labels are the names of its notes. Times are in seconds. `tier` is the name of
    one of a TextGrid's interval tiers, which it needs where there are several, and `channel` is as
    in `midi.read`. Neither matters to other files.

    Raises ScoreError for a file that is damaged, for segments that overlap, for points, and where
    there are none, and UsageError for a tier or a channel that there is not.
    """
    suffix = path.suffix.lower()
    if suffix in midi.SUFFIXES:
        notes = midi.read(path, channel)
        return [Segment(note.start, note.end, name_of(note.pitch)) for note in notes]
    if suffix == ".textgrid":
        rows = textgrid.rows(path, tier)
    elif suffix == ".csv":
        rows = _csv_rows(path)
    elif suffix == ".txt":
        rows = _audacity_rows(path)
    else:
        known = listed(dict.fromkeys(s.lower() for s in SUFFIXES))
        raise ScoreError(path, "is no file of segments", f"their names end in {known}")
    return _in_turn(path, rows)


def beside(path: Path) -> Path | None:
    """The file of segments beside a recording, of its name with one of `SUFFIXES`; None without.

    Of several it is the first in their order, as a TextGrid beside a transcript.
    """
    spellings = (s for suffix in SUFFIXES for s in (suffix, suffix.lower(), suffix.upper()))
    files_beside = (path.with_suffix(suffix) for suffix in dict.fromkeys(spellings))
    return next((other for other in files_beside if other.is_file()), None)


def _in_turn(path: Path, rows: Iterator[files.Row]) -> list[Segment]:
    """Segments by start, none of which overlap. Raises ScoreError."""
    placed: list[tuple[Segment, str]] = []
    for row in rows:
        label = _label(row.label)
        if not label:
            continue
        try:
            placed.append((Segment(row.start, row.end, label), row.where))
        except UsageError as e:
            advice = _POINT if row.start == row.end else e.advice
            shown = f"{label} at {row.start:g} s"
            raise ScoreError(f"{path}: {row.where}", f"{shown} {e.reason}", advice) from None
        check_count(path, len(placed), "segments")
    if not placed:
        raise ScoreError(path, "holds no labels")
    placed.sort(key=lambda p: (p[0].start, p[0].end))
    segments: list[Segment] = []
    for segment, where in placed:
        if segments and segments[-1].end > segment.start:
            before = segments[-1]
            over = before.end - segment.start
            if over > _ROUNDING_SECONDS or segment.start <= before.start:
                reason = f"{segment.label} begins at {segment.start:g} s, before {before.label}"
                advice = "labels must follow each other"
                ends = f"ends at {before.end:g} s"
                raise ScoreError(f"{path}: {where}", f"{reason} {ends}", advice)
            segments[-1] = replace(before, end=segment.start)
        segments.append(segment)
    return segments


def _label(text: str) -> str:
    """A label in composed form, with single spaces between its words and none around it."""
    return " ".join(composed(text).split())


def _audacity_rows(path: Path) -> Iterator[files.Row]:
    for number, line in enumerate(files.text_of(path).split("\n"), 1):
        # The range of frequencies of the label before it.
        if not line.strip() or line.startswith("\\"):
            continue
        start, *rest = line.split("\t", 2)
        if not rest:
            advice = "a label track of Audacity has lines of start, tab, end, tab, label"
            raise ScoreError(f"{path}: line {number}", "has no tab in it", advice)
        yield _row(path, f"line {number}", start, rest[0], "".join(rest[1:]))


def _csv_rows(path: Path) -> Iterator[files.Row]:
    text = files.text_of(path)
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for i, cells in enumerate(table):
            cells = [cell.strip() for cell in cells]
            is_header = i == 0 and [cell.lower() for cell in cells] == HEADER
            if is_header or not any(cells):
                continue
            where = f"line {table.line_num}"
            if len(cells) != len(HEADER):
                reason = f"{','.join(cells)[:80]} is not start,end,label: three columns"
                advice = "a label with a comma stands in double quotes"
                if cells[0].count(";") == 2:
                    advice = "write commas between them, and times with a point"
                raise ScoreError(f"{path}: {where}", reason, advice)
            yield _row(path, where, *cells)
    except csv.Error as e:
        reason = f"not a row of start,end,label ({e})"
        raise ScoreError(f"{path}: line {table.line_num}", reason) from None


def _row(path: Path, where: str, start: str, end: str, label: str) -> files.Row:
    try:
        return files.Row(where, float(start), float(end), label)
    except ValueError:
        reason = f"{start[:40]} and {end[:40]} are not two times"
        advice = "times are in seconds, with a decimal point"
        raise ScoreError(f"{path}: {where}", reason, advice) from None
