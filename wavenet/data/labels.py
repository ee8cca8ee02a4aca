"""Which label each recording has: the folder it lies in, a table of file,label, or a pattern on its name.

Names and labels are compared in Unicode's composed form, so that é is é however a disk or a table spells it.
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
WAYS = f"a folder for every label, --label-from labels.csv with rows of file,label, or a pattern on the names, --label-from '{EXAMPLE}'"
HEADER = ["file", "label"]


def read(names: Sequence[str], folder: Path, rule: str) -> dict[str, str]:
    """The label of each recording, by name. Names are relative to `folder`, with forward slashes; `rule` is train.label_from.

    Raises CorpusError when the rule gives a recording no label, or cannot be followed.
    """
    if rule == "folder":
        return _from_folders(names, folder)
    if is_table(rule):
        return _from_table(names, folder, rule)
    return _from_pattern(names, folder, rule)


def is_table(rule: str) -> bool:
    return rule.lower().endswith(".csv")


def _from_folders(names: Sequence[str], folder: Path) -> dict[str, str]:
    loose = [name for name in names if "/" not in name]
    if len(loose) == len(names):
        raise CorpusError(
            f"{folder}: has no subfolders to take labels from; there are three ways: {WAYS}"
        )
    if loose:
        raise CorpusError(
            f"{folder}: in no subfolder to take a label from: {_and_more(loose)}; there are three ways: {WAYS}"
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
            f"--label-from {rule}: neither folder nor a .csv file, and as a pattern it has no group named label; for example '{EXAMPLE}'"
        )
    found = {name: pattern.search(composed(name)) for name in names}
    unmatched = [name for name, match in found.items() if match is None or match["label"] is None]
    if unmatched:
        raise CorpusError(
            f"--label-from {rule}: finds no label in {_and_more(unmatched)} in {folder}; for example '{EXAMPLE}'"
        )
    return {
        name: _checked(match["label"], f"--label-from {rule}: {name}")
        for name, match in found.items()
        if match
    }


# --- a table -----------------------------------------------------------------------------------------------------------


def _from_table(names: Sequence[str], folder: Path, rule: str) -> dict[str, str]:
    path, text = _open_table(folder, rule)
    find = _finder(names)
    labels: dict[str, str] = {}
    lines: dict[str, int] = {}
    strangers: list[str] = []  # files of rows that belong to no recording: it may have been skipped
    for line, file, label in _rows(path, text):
        where = f"{path}: line {line}"
        matches = find(file)
        if len(matches) > 1:
            raise CorpusError(
                f"{where}: {file} may be {matches[0]} or {matches[1]}; write the folder and the suffix too"
            )
        for name in matches:
            label = _checked(label, f"{where}: {file}")
            if labels.setdefault(name, label) != label:
                raise CorpusError(
                    f"{where}: {file} is {label} here and {labels[name]} in line {lines[name]}; keep one of them"
                )
            lines.setdefault(name, line)
        strangers += [] if matches else [file]
    missing = [name for name in names if name not in labels]
    if missing:
        unknown = (
            f"; rows of no recording: {len(strangers)}, the first for {strangers[0]}"
            if strangers
            else ""
        )
        raise CorpusError(
            f"{path}: has no row for {_and_more(missing)} in {folder}{unknown}; write files relative to that folder"
        )
    return {name: labels[name] for name in names}


def _open_table(folder: Path, rule: str) -> tuple[Path, str]:
    """The table's path and text. It is looked for as given, then in the training folder."""
    given = Path(os.path.expanduser(rule))
    for path in (given, folder / given):
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
    """Line, file and label of each row; blank lines and a header are passed over. Raises CorpusError for what is not two columns."""
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for i, row in enumerate(table):
            row = [cell.strip() for cell in row]
            if not any(row) or (i == 0 and [cell.lower() for cell in row] == HEADER):
                continue
            if len(row) != 2 or not row[0]:
                raise CorpusError(
                    f"{path}: line {table.line_num}: {','.join(row)[:80]} is not file,label: two columns, one comma"
                )
            yield table.line_num, row[0], row[1]
    except csv.Error as e:
        raise CorpusError(f"{path}: line {table.line_num}: not a row of file,label ({e})") from None


def _finder(names: Sequence[str]) -> Callable[[str], list[str]]:
    """A function from a file as a table writes it to the recordings it may be: by name, without suffix, by base name, without both."""
    spellings: list[dict[str, list[str]]] = [defaultdict(list) for _ in range(4)]
    for name in names:
        path = PurePosixPath(_key(name))
        for known, spelling in zip(
            spellings, (path, path.parent / path.stem, path.name, path.stem), strict=True
        ):
            known[str(spelling)].append(name)

    def find(file: str) -> list[str]:
        key = str(PurePosixPath(_key(file)))
        return next((known[key] for known in spellings if key in known), [])

    return find


def _key(file: str) -> str:
    return composed(file).replace("\\", "/").strip()


# --- words -------------------------------------------------------------------------------------------------------------


def _checked(label: str, where: str) -> str:
    """A label as it is kept. Raises CorpusError."""
    label = composed(label).strip()
    if not label:
        raise CorpusError(f"{where}: its label is empty")
    if not label.isprintable():
        raise CorpusError(
            f"{where}: its label {label} holds a character that cannot be printed; rename it"
        )
    return label


def _and_more(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
