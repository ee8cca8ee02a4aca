"""`wavenet bench`: a table of how fast each engine is."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavenet.cli import completion, terminal
from wavenet.cli.options import JsonOption, SetOption
from wavenet.cli.outputs import print_json
from wavenet.errors import EngineError

if TYPE_CHECKING:
    from wavenet.bench.measure import Row


def bench(
    source: Annotated[
        str | None,
        typer.Argument(
            autocompletion=completion.sources,
            help="A preset, a .toml file, a run folder or a checkpoint. Default: small.",
        ),
    ] = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """How fast each engine generates on this machine."""
    with terminal.loading("the engines"):
        from wavenet.bench.measure import ROUNDS, cases, measure
        from wavenet.config.loading import parse_assignments
        from wavenet.generation.provenance import model_name
        from wavenet.model.cost import model_cost
        from wavenet.model.locate import config_of
        from wavenet.system.machine import machine
        from wavenet.system.progress import bar

    name, config = config_of(source, parse_assignments(settings or []))
    rate = config.audio.sample_rate
    where = f"{machine()}{_gpu()}"
    if not as_json:
        terminal.result(f"{where}; medians of {ROUNDS} rounds")
        terminal.result(
            f"{name}: {model_cost(config.model, rate).parameters:,} parameters at {rate} Hz"
        )
    runners = cases(config, terminal.warn)
    with bar(len(runners) * (1 + ROUNDS), counted=False, leave=False) as progress:
        rows = measure(config, runners, progress.update)
    if as_json:
        about = {"model": model_name(Path(name)), "machine": where}
        print_json([about | asdict(row) for row in rows])
    else:
        terminal.result("\n".join(_table(rows)))


def _table(rows: "Sequence[Row]") -> list[str]:
    heads = ("precision", "threads", "streams", "samples/s", "x real time")
    columns = [terminal.Column("engine"), *(terminal.Column(head, right=True) for head in heads)]
    cells = []
    for row in rows:
        case = (row.engine, row.precision, row.threads or "GPU", row.batch)
        cells.append([*case, f"{row.samples_per_second:,.0f}", f"{row.realtime:.2f}"])
    return terminal.table(columns, cells)


def _gpu() -> str:
    """The name of the GPU that engines run on here, if any, after a semicolon."""
    from wavenet.engines import ON_GPU, candidates

    if not set(candidates()) & set(ON_GPU):
        return ""
    try:
        from wavenet.engines.gpu.network import device_for, device_name

        return f"; {device_name(device_for(ON_GPU[0]))}"
    except (ImportError, EngineError):
        return ""
