"""`wavenet runs`: the runs in a folder, side by side."""

import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavenet.cli import terminal
from wavenet.cli.options import JsonOption
from wavenet.cli.outputs import iso_time, print_json, read_each
from wavenet.cli.values import duration, short, short_names

if TYPE_CHECKING:
    from wavenet.training.run_summary import RunSummary

# Of the folder of the recordings, from the end.
_PARTS_SHOWN = 2


def runs(
    places: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PLACES",
            help="Folders with runs, or runs, whose settings are compared. Default: runs.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """The runs there are and how far each has come; of several, how their settings differ."""
    from wavenet.training import run_summary
    from wavenet.training.default_run import RUNS

    # There need not be one yet.
    places = places or ([RUNS] if RUNS.is_dir() else [])
    found, unusable = read_each(places, lambda place: list(run_summary.runs_in(place)))
    folders = dict.fromkeys(chain.from_iterable(found))
    summaries = [run_summary.summary_of(folder) for folder in folders]
    newest_first = sorted(summaries, key=lambda summary: -summary.changed)
    if as_json:
        print_json([to_dict(summary) for summary in newest_first])
    elif not summaries:
        where = ", ".join(map(str, places or [RUNS]))
        terminal.result(f"{where}: no runs here; `wavenet train` makes one")
    else:
        terminal.result("\n".join(_table(newest_first)))
        for summary in newest_first:
            for problem in summary.problems:
                terminal.result(f"damaged    {problem}")
        if len(summaries) > 1 and all(folder in places for folder in folders):
            terminal.result("")
            terminal.result("\n".join(_comparison(summaries)))
    if unusable:
        raise typer.Exit(1)


def to_dict(summary: "RunSummary") -> dict[str, Any]:
    """As a program reads it: what JSON can hold."""
    config, best = summary.config, summary.best
    return {
        "path": str(summary.folder),
        "config": config.to_dict() if config else None,
        "parameters": _parameters(summary),
        "step": summary.step,
        "steps": config.train.steps if config else None,
        "hours": summary.hours,
        "best_bits": best[1] if best else None,
        "best_step": best[0] if best else None,
        "recordings": {
            "folder": summary.recordings,
            "count": summary.count,
            "seconds": summary.seconds,
            "held_out": summary.held_out,
            "labels": list(summary.labels),
        },
        "is_training": summary.is_training,
        "changed": iso_time(summary.changed),
        "problems": list(summary.problems),
    }


def _parameters(summary: "RunSummary") -> int | None:
    from wavenet.model.cost import model_cost

    config = summary.config
    return model_cost(config.model, config.audio.sample_rate).parameters if config else None


def _table(summaries: "Sequence[RunSummary]") -> list[str]:
    columns = [
        terminal.Column("run"),
        terminal.Column("config", leave_out=3),
        terminal.Column("step", right=True),
        terminal.Column("of", right=True, leave_out=2),
        terminal.Column("best bits", right=True),
        terminal.Column("at step", right=True, leave_out=4),
        terminal.Column("hours", right=True, leave_out=5),
        terminal.Column("parameters", right=True, leave_out=6),
        terminal.Column("recordings", leave_out=7),
        terminal.Column("length", right=True, leave_out=8),
        terminal.Column("changed", leave_out=1),
    ]
    return terminal.table(columns, [_row(summary) for summary in summaries])


def _row(summary: "RunSummary") -> list[str]:
    config, best, parameters = summary.config, summary.best, _parameters(summary)
    changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(summary.changed))
    if summary.problems:
        changed = "damaged"
    return [
        str(summary.folder),
        config.name if config else "?",
        f"{summary.step:,}",
        f"{config.train.steps:,}" if config else "?",
        f"{best[1]:.3f}" if best else "-",
        f"{best[0]:,}" if best else "-",
        f"{summary.hours:.2f}",
        "?" if parameters is None else f"{parameters:,}",
        "/".join(Path(summary.recordings).parts[-_PARTS_SHOWN:]) or "?",
        "?" if summary.seconds is None else duration(summary.seconds),
        "in training" if summary.is_training else changed,
    ]


def _comparison(summaries: "Sequence[RunSummary]") -> Iterator[str]:
    """The settings in which runs differ, a column for each run or, without room, a line."""
    from wavenet.config.loading import flatten

    known = [summary for summary in summaries if summary.config]
    flat = [flatten(s.config.to_dict()) for s in known if s.config]
    names = dict.fromkeys(name for values in flat for name in values)
    differing = {
        name: [short(values.get(name)) for values in flat]
        for name in names
        if name not in ("name", "purpose")
        and any(values.get(name) != flat[0].get(name) for values in flat)
    }
    if not differing:
        yield "their settings are the same"
        return
    heads = short_names([summary.folder for summary in known])
    columns = [terminal.Column(head) for head in ("setting", *heads)]
    lines = terminal.table(columns, [[name, *values] for name, values in differing.items()])
    # A line for each, so that nothing was folded.
    if len(lines) == 1 + len(differing):
        yield from lines
        return
    for name, values in differing.items():
        yield name
        width = max(map(len, values))
        yield from (
            f"  {value:{width}}  {s.folder}" for value, s in zip(values, known, strict=True)
        )
