"""Which label each recording has: by its folder, a table of file,label, or a pattern on its name.

Names and labels are compared in Unicode's composed form, so that é is é however a disk or a table
spells it.
"""

import csv
import io
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from wavenet.errors import CorpusError
from wavenet.model.known_labels import composed

EXAMPLE = r"(?P<label>[a-z]+)_\d+"
WAYS = (
    "a folder for every label, --label-from labels.csv with rows of file,label, "
    f"or a pattern on the names, --label-from '{EXAMPLE}'"
)
HEADER = ["file", "label"]


def read(names: Sequence[str], folder: Path, rule: str) -> dict[str, str]:
    """The label of each recording, by name.

    Names are relative to `folder`, with forward slashes; `rule` is train.label_from. Raises
    CorpusError when the rule gives a recording no label, or cannot be followed.
    """
    if rule == "folder":
        return _from_folders(names, folder)
    if is_table(rule):
        return _from_table(names, folder, rule)
    return _from_pattern(names, folder, rule)


def is_table(rule: str) -> bool:
    """Whether train.label_from is the path of a table."""
    return rule.lower().endswith(".csv")


def _from_folders(names: Sequence[str], folder: Path) -> dict[str, str]:
    loose = [name for name in names if "/" not in name]
    if len(loose) == len(names):
        raise CorpusError(
            f"{folder}: has no subfolders to take labels from; there are three ways: {WAYS}"
        )
    if loose:
        raise CorpusError(
            f"{folder}: in no subfolder to take a label from: {_and_more(loose)}; "
            f"there are three ways: {WAYS}"
        )
    return {name: _checked(str(PurePosixPath(name).parent), f"{folder}: {name}") for name in names}


def _from_pattern(names: Sequence[str], folder: Path, rule: str) -> dict[str, str]:
    try:
        pattern = re.compile(rule)
    except (re.error, OverflowError, RecursionError) as e:
        raise CorpusError(
            f"--label-from {rule}: not a regular expression ({e}); for example '{EXAMPLE}'"
        ) from None
    if "label" not in pattern.groupindex:
        raise CorpusError(
            f"--label-from {rule}: neither folder nor a .csv file, "
            f"and as a pattern it has no group named label; for example '{EXAMPLE}'"
        )
    labels: dict[str, str] = {}
    unmatched: list[str] = []
    for name in names:
        match = pattern.search(composed(name))
        if match is None or match["label"] is None:
            unmatched.append(name)
        else:
            labels[name] = match["label"]
    if unmatched:
        raise CorpusError(
            f"--label-from {rule}: finds no label in {_and_more(unmatched)} in {folder}; "
            f"for example '{EXAMPLE}'"
        )
    return {name: _checked(label, f"--label-from {rule}: {name}") for name, label in labels.items()}


# --- a table --------------------------------------------------------------------------------------


def _from_table(names: Sequence[str], folder: Path, rule: str) -> dict[str, str]:
    path, text = _open_table(folder, rule)
    recordings_of = _matcher(names)
    labels: dict[str, str] = {}
    lines: dict[str, int] = {}
    # Files of rows that belong to no recording: it may have been skipped.
    unmatched: list[str] = []
    for line, file, label in _rows(path, text):
        where = f"{path}: line {line}"
        matches = recordings_of(file)
        if len(matches) > 1:
            raise CorpusError(
                f"{where}: {file} may be {matches[0]} or {matches[1]}; "
                "write the folder and the suffix too"
            )
        if not matches:
            unmatched.append(file)
            continue
        name = matches[0]
        label = _checked(label, f"{where}: {file}")
        if labels.setdefault(name, label) != label:
            raise CorpusError(
                f"{where}: {file} is {label} here and {labels[name]} in line {lines[name]}; "
                "keep one of them"
            )
        lines.setdefault(name, line)
    missing = [name for name in names if name not in labels]
    if missing:
        hint = ""
        if unmatched:
            hint = f"; rows of no recording: {len(unmatched)}, the first for {unmatched[0]}"
        raise CorpusError(
            f"{path}: has no row for {_and_more(missing)} in {folder}{hint}; "
            "write files relative to that folder"
        )
    return {name: labels[name] for name in names}


def _open_table(folder: Path, rule: str) -> tuple[Path, str]:
    """The table's path and text.

    The path is taken relative to the working directory, then to the folder of recordings.
    """
    table = Path(os.path.expanduser(rule))
    for path in (table, folder / table):
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as e:
            raise CorpusError(
                f"{path}: cannot be read ({getattr(e, 'strerror', None) or e})"
            ) from None
        try:
            return path, raw.decode("utf-8-sig")
        except UnicodeDecodeError as e:
            line = 1 + raw.count(b"\n", 0, e.start)
            raise CorpusError(
                f"{path}: line {line}: not UTF-8 text; save the table as CSV in UTF-8"
            ) from None
    raise CorpusError(f"{rule}: no such file here, nor in {folder}; it holds rows of file,label")


def _rows(path: Path, text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, file and label of each row; blank lines and a header are left out.

    Raises CorpusError for a row that is not two columns.
    """
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for i, row in enumerate(table):
            row = [cell.strip() for cell in row]
            is_header = i == 0 and [cell.lower() for cell in row] == HEADER
            if is_header or not any(row):
                continue
            if len(row) != 2 or not row[0]:
                raise CorpusError(
                    f"{path}: line {table.line_num}: {','.join(row)[:80]} is not file,label: "
                    "two columns, one comma"
                )
            yield table.line_num, row[0], row[1]
    except csv.Error as e:
        raise CorpusError(f"{path}: line {table.line_num}: not a row of file,label ({e})") from None


def _matcher(names: Sequence[str]) -> Callable[[str], list[str]]:
    """A function from a file as a table writes it to the recordings that it may be.

    It looks for the whole name first, then without the suffix, the base name, and that without
    suffix.
    """
    by_spelling: list[dict[str, list[str]]] = [defaultdict(list) for _ in range(4)]
    for name in names:
        path = PurePosixPath(_normalised(name))
        spellings = (path, path.parent / path.stem, path.name, path.stem)
        for recordings, spelling in zip(by_spelling, spellings, strict=True):
            recordings[str(spelling)].append(name)

    def recordings_of(file: str) -> list[str]:
        key = str(PurePosixPath(_normalised(file)))
        return next((recordings[key] for recordings in by_spelling if key in recordings), [])

    return recordings_of


def _normalised(file: str) -> str:
    return composed(file).replace("\\", "/").strip()


# --- words ----------------------------------------------------------------------------------------


def _checked(label: str, where: str) -> str:
    """A label in its composed form. Raises CorpusError when it is empty or not printable."""
    label = composed(label).strip()
    if not label:
        raise CorpusError(f"{where}: its label is empty")
    if not label.isprintable():
        raise CorpusError(
            f"{where}: its label {label} holds a character that cannot be printed; rename it"
        )
    return label


def _and_more(names: Sequence[str]) -> str:
    """The first name, and the number of the others, for a message."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
