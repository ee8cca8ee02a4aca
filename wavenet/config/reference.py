"""What there is to set: every setting with its default, range and meaning, read from the sections.

The text below a field is its meaning, and the range is the one that is checked.
"""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from wavenet.config.checks import Checked
from wavenet.config.schema import Config

_TYPES = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    tuple[int, ...]: "list of integers",
    tuple[str, ...]: "list of texts",
}


class Setting(NamedTuple):
    """A setting by its name in `--set`, with its type in words and its default, None where unset.

    `range` is without the unit, as "1 to 1000", or names what there is to choose from, as in
    '"files" or "tails"'; that and `unit` may be empty. `meaning` is a paragraph.
    """

    name: str
    type: str
    default: Any
    unit: str
    range: str
    meaning: str


def settings(section: type[Checked] = Config) -> Iterator[Setting]:
    """The settings of a section in their order; those of `Config` are all."""
    hints, meanings = get_type_hints(section), docstrings(section)
    for f in fields(section):  # type: ignore[arg-type]
        hint, limits = hints[f.name], f.metadata.get("range")
        if isinstance(hint, type) and issubclass(hint, Checked):
            yield from settings(hint)
            continue
        name = f"{section.section}.{f.name}".lstrip(".")
        unit, values = (limits.unit, limits.listed) if limits else ("", "")
        if get_origin(hint) is Literal:
            kind = "choice"
            *others, last = (f'"{choice}"' for choice in get_args(hint))
            values = f"{', '.join(others)} or {last}"
        else:
            hints_of_value = get_args(hint) if isinstance(hint, UnionType) else (hint,)
            kind = " or ".join(_TYPES[h] for h in hints_of_value if h is not NoneType)
        yield Setting(name, kind, f.default, unit, values, meanings.get(f.name, ""))


def settings_called(word: str) -> list[str]:
    """Names of settings that are called so in their section, or nearly: batch_size, train.batch."""
    word = {"lr": "learning_rate"}.get(word, word)
    lasts = {setting.name: setting.name.rpartition(".")[2] for setting in settings()}
    same = [name for name, last in lasts.items() if last == word]
    start = [name for name, last in lasts.items() if word.startswith(f"{last}_")]
    return same or start


def docstrings(owner: type) -> dict[str, str]:
    """The text that stands below each annotated name in the body of a class, by that name."""
    found = {}
    tree = ast.parse(inspect.getsource(owner)).body[0]
    for pair in pairwise(tree.body if isinstance(tree, ast.ClassDef) else ()):
        match pair:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(text))):
                found[name] = inspect.cleandoc(text)
    return found
