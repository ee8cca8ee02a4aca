"""`wavenet settings`: what there is to set."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavenet.cli import completion, terminal
from wavenet.cli.options import JsonOption
from wavenet.cli.outputs import print_json
from wavenet.cli.values import short
from wavenet.errors import ConfigError

if TYPE_CHECKING:
    from wavenet.config.reference import Setting

# Of a default in the table.
_CHARACTERS = 12


def settings(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            autocompletion=completion.settings,
            help="Only settings whose name or meaning holds these words, in full.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            metavar="NAME",
            help="With the values of a preset, a .toml file, a run or a checkpoint.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Every setting, with its default, what it may be and what it does."""
    from wavenet.config.loading import flatten
    from wavenet.model.locate import config_of

    found = _matching(words or [])
    values = None if config is None else flatten(config_of(config, {})[1].to_dict())
    if as_json:
        print_json([_to_dict(setting, values) for setting in found])
        return
    if words:
        terminal.result("\n".join(_in_full(found, values)))
    else:
        terminal.result("\n".join(_table(found, values)))
        terminal.status("change one with --set NAME=VALUE; `wavenet settings WORD` says more")
    if values is not None:
        terminal.status(f"* is another value than the default, in {config}")


def _matching(words: Sequence[str]) -> "list[Setting]":
    """The settings that hold all of the words, or that one of them names. Raises ConfigError."""
    from wavenet.config.reference import settings as all_settings
    from wavenet.config.reference import settings_called, settings_like

    known = list(all_settings())
    named = {name for word in words for name in settings_called(word)}
    lower = [word.lower() for word in words]
    texts = {s.name: f"{s.name} {s.meaning}".lower() for s in known}
    found = [s for s in known if s.name in named or all(w in texts[s.name] for w in lower)]
    if not found:
        close = [name for word in words for name in settings_like(word)]
        advice = f"did you mean {' or '.join(close)}?" if close else "leave it out to see all"
        raise ConfigError(" ".join(words), "no setting holds this", advice)
    # Those that are called so come before those that only speak of it.
    return sorted(found, key=lambda s: not (s.name in named or any(w in s.name for w in lower)))


def _changed(setting: "Setting", values: dict[str, Any]) -> bool:
    default, value = setting.default, values.get(setting.name)
    return bool(value != (list(default) if isinstance(default, tuple) else default))


def _value(setting: "Setting", values: dict[str, Any]) -> str:
    """A value there, marked where it is not the default."""
    return f"{'* ' if _changed(setting, values) else '  '}{short(values.get(setting.name))}"


def _table(found: "list[Setting]", values: dict[str, Any] | None) -> list[str]:
    """A line for each setting, with the first sentence of its meaning."""
    columns = [
        terminal.Column("setting"),
        *([] if values is None else [terminal.Column("  value")]),
        terminal.Column("default", leave_out=0 if values is None else 1),
        terminal.Column("may be", leave_out=2),
        terminal.Column("meaning", wraps=True),
    ]
    rows: list[list[str]] = []
    section = ""
    for setting in found:
        if (own := setting.name.rpartition(".")[0]) != section:
            section = own
            rows.append([""] * len(columns))
        value = [] if values is None else [_value(setting, values)]
        sentence = re.split(r"\.(?: (?=[A-Z])|$)", _paragraph(setting))[0]
        default = short(setting.default, _CHARACTERS)
        if setting.default is not None and not default.endswith("..."):
            default = f"{default} {setting.unit}".strip()
        rows.append([setting.name, *value, default, setting.range or setting.type, sentence])
    return terminal.table(columns, rows)


def _in_full(found: "list[Setting]", values: dict[str, Any] | None) -> Iterator[str]:
    """Each setting with all that is to be said of it."""
    from wavenet.config.reference import shown

    for number, setting in enumerate(found):
        if number:
            yield ""
        yield setting.name
        if values is not None:
            star = "  *" if _changed(setting, values) else ""
            yield f"  value    {shown(values.get(setting.name))}{star}"
        yield f"  default  {shown(setting.default)}"
        yield f"  range    {setting.rule}"
        yield f"  meaning  {_paragraph(setting)}"


def _paragraph(setting: "Setting") -> str:
    """Its meaning in one line."""
    return " ".join(setting.meaning.split())


def _to_dict(setting: "Setting", values: dict[str, Any] | None) -> dict[str, Any]:
    """As a program reads it; `value` is null without --config."""
    about = setting._asdict()
    value = None if values is None else values.get(setting.name)
    return {**about, "meaning": _paragraph(setting), "value": value}
