"""Which label each recording has: by its folder, a table of file,label, or a pattern on its name.

Names and labels are compared in Unicode's composed form, so that é is é however a disk or a table
spells it.
"""

import csv
import io
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from wavenet.errors import CorpusError
from wavenet.model.known_labels import known_line
from wavenet.system.text import composed

EXAMPLE = r"(?P<label>[a-z]+)_\d+"
WAYS = (
    "a folder for every label, `label_from` labels.csv with rows of file,label, "
    f"or a pattern on the names, `label_from` '{EXAMPLE}'"
)
HEADER = ["file", "label"]


def read(names: Sequence[str], folder: Path, rule: str, depth: int = 0) -> dict[str, str]:
    """The label of each recording, by name.

    Names are relative to `folder`, with forward slashes; `rule` is train.label_from and `depth`
    train.label_depth. Raises CorpusError when the rule gives a recording no label, or cannot be
    followed.
    """
    if rule == "folder":
        return _from_folders(names, folder, depth)
    if is_table(rule):
        return _from_table(names, folder, rule)
    return _from_pattern(names, folder, rule)


def label_ids(
    by_name: Mapping[str, str],
    folder: Path,
    known: Sequence[str],
    advice: str = "train a new one for new labels",
) -> dict[str, int]:
    """The number of each recording's label among the known ones, by name.

    `by_name` comes from `read`. `advice` is what to do about a label that is not known: a
    CorpusError.
    """
    number = {label: i for i, label in enumerate(known)}
    for name, label in by_name.items():
        if label not in number:
            problem = f"which this network does not know ({known_line(label, known)})"
            raise CorpusError(folder, f"{name} has the label {label}, {problem}", advice)
    return {name: number[label] for name, label in by_name.items()}


def is_table(rule: str) -> bool:
    """Whether train.label_from is the path of a table."""
    return rule.lower().endswith(".csv")


def outer_folders(labels: Sequence[str]) -> list[str]:
    """The outermost folder of each label that is made of several; [] where that joins none."""
    outer = sorted({label.partition("/")[0] for label in labels})
    return outer if len(outer) < len(labels) else []


def _from_folders(names: Sequence[str], folder: Path, depth: int) -> dict[str, str]:
    loose = [name for name in names if "/" not in name]
    if loose:
        reason = f"in no subfolder to take a label from: {_and_more(loose)}"
        if len(loose) == len(names):
            reason = "has no subfolders to take labels from"
        raise CorpusError(folder, reason, f"there are three ways: {WAYS}")
    labels = {name: "/".join(PurePosixPath(name).parent.parts[: depth or None]) for name in names}
    return {name: _checked(label, f"{folder}: {name}") for name, label in labels.items()}


def _from_pattern(names: Sequence[str], folder: Path, rule: str) -> dict[str, str]:
    where, example = f"`label_from` {rule}", f"for example '{EXAMPLE}'"
    try:
        pattern = re.compile(rule)
    except (re.error, OverflowError, RecursionError) as e:
        raise CorpusError(where, f"not a regular expression ({e})", example) from None
    if "label" not in pattern.groupindex:
        reason = "neither folder nor a .csv file, and as a pattern it has no group named label"
        raise CorpusError(where, reason, example)
    matches = ((name, pattern.search(composed(name))) for name in names)
    labels = {name: match["label"] for name, match in matches if match}
    unmatched = [name for name in names if labels.get(name) is None]
    if unmatched:
        reason = f"finds no label in {_and_more(unmatched)} in {folder}"
        raise CorpusError(where, reason, example)
    return {name: _checked(label, f"{where}: {name}") for name, label in labels.items()}


# --- a table --------------------------------------------------------------------------------------


def _from_table(names: Sequence[str], folder: Path, rule: str) -> dict[str, str]:
    path, text = _open_table(folder, rule)
    # A table may write the whole name, that without the suffix, the base name, or that without the
    # suffix. Longer spellings go first.
    by_spelling: dict[tuple[int, str], list[str]] = defaultdict(list)
    for name in names:
        for key in enumerate(_spellings(name)):
            by_spelling[key].append(name)
    # With the line that gave each.
    labels: dict[str, tuple[str, int]] = {}
    # Files of rows that belong to no recording: it may have been skipped.
    strangers: list[str] = []
    for line, file, label in _rows(path, text):
        where, written = f"{path}: line {line}", _spellings(file)[0]
        found = (by_spelling.get((i, written)) for i in range(4))
        matches = next(filter(None, found), [])
        if len(matches) > 1:
            reason = f"{file} may be {matches[0]} or {matches[1]}"
            raise CorpusError(where, reason, "write the folder and the suffix too")
        if not matches:
            strangers.append(file)
            continue
        name, label = matches[0], _checked(label, f"{where}: {file}")
        earlier, earlier_line = labels.setdefault(name, (label, line))
        if earlier != label:
            reason = f"{file} is {label} here and {earlier} in line {earlier_line}"
            raise CorpusError(where, reason, "keep one of them")
    missing = [name for name in names if name not in labels]
    if missing:
        reason = f"has no row for {_and_more(missing)} in {folder}"
        if strangers:
            reason += f"; rows of no recording: {len(strangers)}, the first for {strangers[0]}"
        raise CorpusError(path, reason, "write files relative to that folder")
    return {name: labels[name][0] for name in names}


def _spellings(file: str) -> tuple[str, str, str, str]:
    """A file's name with and without suffix, then its base name with and without."""
    path = PurePosixPath(composed(file).replace("\\", "/").strip())
    return str(path), str(path.parent / path.stem), path.name, path.stem


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
            reason = getattr(e, "strerror", None) or e
            raise CorpusError(path, f"cannot be read ({reason})") from None
        try:
            return path, raw.decode("utf-8-sig")
        except UnicodeDecodeError as e:
            line = 1 + raw.count(b"\n", 0, e.start)
            where, advice = f"{path}: line {line}", "save the table as CSV in UTF-8"
            raise CorpusError(where, "not UTF-8 text", advice) from None
    raise CorpusError(rule, f"no such file here, nor in {folder}", "it holds rows of file,label")


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
                reason = f"{','.join(row)[:80]} is not file,label: two columns, one comma"
                raise CorpusError(f"{path}: line {table.line_num}", reason)
            yield table.line_num, row[0], row[1]
    except csv.Error as e:
        reason = f"not a row of file,label ({e})"
        raise CorpusError(f"{path}: line {table.line_num}", reason) from None


# --- words ----------------------------------------------------------------------------------------


def _checked(label: str, where: str) -> str:
    """A label in its composed form. Raises CorpusError when it is empty or not printable."""
    label = composed(label).strip()
    if not label:
        raise CorpusError(where, "its label is empty")
    if not label.isprintable():
        reason = f"its label {label} holds a character that cannot be printed"
        raise CorpusError(where, reason, "rename it")
    return label


def _and_more(names: Sequence[str]) -> str:
    """The first name, and the number of the others, for a message."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
