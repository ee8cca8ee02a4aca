"""`wavenet presets`: the configurations and the trained models that come with the program."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from wavenet.cli import completion, terminal
from wavenet.cli.options import JsonOption
from wavenet.cli.outputs import print_json
from wavenet.errors import ConfigError

if TYPE_CHECKING:
    from wavenet.config import Config


class _Entry(NamedTuple):
    """What comes with the program under a name."""

    kind: str  # preset or model
    name: str
    config: "Config"
    purpose: str


def presets(
    name: Annotated[
        str | None,
        typer.Argument(
            autocompletion=completion.sources, help="Print this one as a .toml to start from."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """The configurations and trained models that come with the program."""
    from wavenet.config.loading import nearest

    entries = {entry.name: entry for entry in _entries()}
    if name is not None and name not in entries:
        advice = nearest(name, entries) or "`wavenet presets` lists them"
        raise ConfigError(name, "no such preset or model", advice)
    if as_json:
        print_json([_to_dict(e) for e in entries.values() if name in (None, e.name)])
    elif name is not None:
        # As it is whatever the terminal: it is a file.
        typer.echo(_as_toml(entries[name]), nl=False)
    else:
        terminal.result("\n".join(_table(list(entries.values()))))
        how = "`wavenet presets NAME` prints one as a .toml to start from"
        terminal.status(f"{how}; `wavenet settings` lists all settings")


def _entries() -> list[_Entry]:
    from wavenet.config.loading import load, preset_names
    from wavenet.model import checkpoint, locate

    configs = ((name, load(name)) for name in preset_names())
    entries = [_Entry("preset", name, config, config.purpose) for name, config in configs]
    for name, path in locate.bundled().items():
        model = checkpoint.load(path, arrays=False)
        purpose = model.config.purpose or f"trained to step {model.training.step:,}"
        entries.append(_Entry("model", name, model.config, purpose))
    return entries


def _table(entries: list[_Entry]) -> list[str]:
    from wavenet.model.cost import model_cost

    columns = [
        terminal.Column("preset"),
        terminal.Column("hears", right=True),
        terminal.Column("ms", right=True),
        terminal.Column("parameters", right=True, leave_out=2),
        terminal.Column("kHz", right=True, leave_out=1),
        terminal.Column("purpose", wraps=True),
    ]
    rows: dict[str, list[list[str]]] = {"preset": [], "model": []}
    for entry in entries:
        rate = entry.config.audio.sample_rate
        cost = model_cost(entry.config.model, rate)
        hears = (f"{cost.receptive_field:,}", f"{cost.receptive_field_ms:.0f}")
        figures = (*hears, f"{cost.parameters:,}", f"{rate / 1000:g}")
        rows[entry.kind].append([entry.name, *figures, entry.purpose])
    play = "purpose; hear it with `wavenet generate`, `play` or `vocode`, train on with --init-from"
    heads = ["model", *(column.head for column in columns[1:-1]), play]
    return terminal.table(columns, [*rows["preset"], heads, *rows["model"]])


def _to_dict(entry: _Entry) -> dict[str, object]:
    """As a program reads it."""
    from wavenet.model.cost import model_cost

    cost = model_cost(entry.config.model, entry.config.audio.sample_rate)
    return {
        "name": entry.name,
        "kind": entry.kind,
        "purpose": entry.purpose,
        "sample_rate": entry.config.audio.sample_rate,
        "receptive_field": cost.receptive_field,
        "receptive_field_ms": cost.receptive_field_ms,
        "parameters": cost.parameters,
        "config": entry.config.to_dict(),
    }


def _as_toml(entry: _Entry) -> str:
    from wavenet.config.loading import flatten, read
    from wavenet.config.template import template

    given = flatten(read(entry.name)) if entry.kind == "preset" else ()
    return (
        f"# Settings of the {entry.kind} {entry.name}; those behind a # are at their defaults.\n"
        "# `wavenet settings NAME` explains one, `wavenet train FOLDER --config FILE` takes them.\n"
        f"{template(entry.config, given)}"
    )
