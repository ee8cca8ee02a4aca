"""What a stage reports: its rows, printed as they come and kept as JSON."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Column:
    """A column of a table: `key` of the row's values, its heading, width, and how it is printed.

    The text of a column without a `form` is printed as it is, on the left.
    """

    key: str
    heading: str
    width: int
    form: str = ""

    def __post_init__(self) -> None:
        assert self.width >= len(self.heading)

    def text(self, value: Any) -> str:
        if value is None:
            return " " * self.width
        if not self.form or isinstance(value, str):
            return f"{value!s:{'>' if self.form else '<'}{self.width}}"
        return f"{value:>{self.width}{self.form}}"

    @property
    def head(self) -> str:
        return f"{self.heading:{'>' if self.form else '<'}{self.width}}"


@dataclass
class Report:
    """The rows of a stage, which has until `seconds` after it was made.

    `path` is rewritten with every row, so that a stage which is cut off loses none.
    """

    path: Path
    seconds: float
    about: Mapping[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that the stage still has, below zero when it is late."""
        return self.started + self.seconds - time.monotonic()

    def table(self, name: str, columns: Sequence[Column], title: str = "") -> "Table":
        """Begin a table: print its title and headings."""
        if title:
            self.say(f"\n{title}")
        self.say(" ".join(column.head for column in columns).rstrip())
        return Table(self, name, columns)

    def say(self, line: str) -> None:
        print(line, flush=True)

    def keep(self, table: str, values: Mapping[str, Any]) -> None:
        """Add a row to the file, which is complete at any time."""
        self.rows.append({"table": table, **values})
        own = self.path.with_suffix(".partial")
        text = json.dumps({**self.about, "rows": self.rows}, indent=1)
        own.write_text(text + "\n", encoding="utf-8")
        os.replace(own, self.path)


@dataclass(frozen=True)
class Table:
    report: Report
    name: str
    columns: Sequence[Column]

    def row(self, **values: Any) -> None:
        """Print a row and keep it. Values without a column are only kept."""
        line = " ".join(column.text(values.get(column.key)) for column in self.columns)
        # What a column has no place for, such as why a case failed, ends the line.
        if note := values.get("note"):
            line = f"{line.rstrip()}  {note}"
        self.report.say(line.rstrip())
        self.report.keep(self.name, values)
