"""`wavenet bench`: a table of how fast each engine is."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from wavenet.cli import terminal
from wavenet.cli.options import JsonOption, SetOption
from wavenet.errors import EngineError


def bench(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A preset, a .toml file, a run folder or a checkpoint. Default: small."
        ),
    ] = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """How fast each engine generates on this machine."""
    from wavenet.bench.measure import ROUNDS, cases, measure
    from wavenet.config.loading import parse_assignments
    from wavenet.model.cost import model_cost
    from wavenet.model.locate import config_of
    from wavenet.system.machine import machine

    name, config = config_of(source, parse_assignments(settings or []))
    rate = config.audio.sample_rate
    if not as_json:
        typer.echo(f"{machine()}{_gpu()}; medians of {ROUNDS} rounds")
        typer.echo(f"{name}: {model_cost(config.model, rate).parameters:,} parameters at {rate} Hz")
    rows = measure(config, cases(config, terminal.warn))
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=1))
        return
    case = f"{'engine':14} {'precision':>9} {'threads':>8} {'streams':>8}"
    typer.echo(f"{case} {'samples/s':>10} {'x real time':>12}")
    for row in rows:
        case = f"{row.engine:14} {row.precision:>9} {row.threads or 'GPU':>8} {row.batch:>8}"
        typer.echo(f"{case} {row.samples_per_second:>10,.0f} {row.realtime:>12.2f}")


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
