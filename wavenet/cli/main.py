"""The commands: parse, call, print. Heavy imports wait until a command needs them."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from wavenet.cli.failures import OneLineErrors, is_first_rank
from wavenet.cli.options import (
    CacheOption,
    ConfigOption,
    DeviceOption,
    EngineOption,
    ModelArgument,
    PrecisionOption,
    SeedOption,
    SetOption,
    TemperatureOption,
    ThreadsOption,
    TopKOption,
    TopPOption,
)
from wavenet.errors import ConfigError

# Set before torch is loaded, so that its threads spin for some microseconds while they wait for
# each other, and then sleep. By default OpenMP spins for milliseconds, and a step takes several
# times as long as soon as another program wants a core.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train a WaveNet on your own recordings and hear it.",
)


@app.command()
def train(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of recordings, searched with its subfolders.")
    ] = None,
    config: ConfigOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Run folder; an existing run goes on. Default: runs/FOLDER-CONFIG."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Length of the training schedule.")] = None,
    stop_at: Annotated[
        int | None, typer.Option(help="Stop at this step; the schedule stays as it is.")
    ] = None,
    device: DeviceOption = "auto",
    seed: Annotated[
        int | None, typer.Option(help="For the initial weights and choice of windows.")
    ] = None,
    label_from: Annotated[
        str | None,
        typer.Option(
            help="Where labels come from: folder, a .csv of file,label, or a pattern as "
            "(?P<label>[a-z]+)_."
        ),
    ] = None,
    settings: SetOption = None,
    cache: CacheOption = None,
    accept_changes: Annotated[
        bool, typer.Option(help="Go on with an existing run under other settings or recordings.")
    ] = False,
    max_hours: Annotated[
        float | None,
        typer.Option(help="Stop after this many hours, having scored and saved."),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard", help="Write scalars, audio and spectrograms for TensorBoard."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Try a few steps, say what training would take, keep nothing."
        ),
    ] = False,
) -> None:
    """Learn from a folder of recordings; run it again to go on."""
    from wavenet.cli.console import ConsoleReport
    from wavenet.cli.tensorboard import TensorBoardReport
    from wavenet.training.resume import TrainOptions
    from wavenet.training.session import dry_run as run_dry
    from wavenet.training.session import train as run_session

    overrides = list(settings or [])
    if steps is not None:
        overrides.append(f"train.steps={steps}")
    if seed is not None:
        overrides.append(f"train.seed={seed}")
    if label_from is not None:
        overrides.append(f"train.label_from={json.dumps(label_from)}")
    request = TrainOptions(
        folder,
        config,
        tuple(overrides),
        out,
        stop_at,
        device,
        cache,
        accept_changes or dry_run,
        max_hours,
    )
    to_board = tensorboard and not dry_run and is_first_rank()
    report = TensorBoardReport() if to_board else ConsoleReport()
    try:
        if dry_run:
            run_dry(request, report)
        else:
            run_session(request, report)
    finally:
        report.close()


@app.command()
def plot(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    over: Annotated[str, typer.Option(help="steps or hours.")] = "steps",
    out: Annotated[Path, typer.Option("--out", "-o", help="A PNG.")] = Path("loss.png"),
) -> None:
    """Draw the loss of one or several runs."""
    from wavenet.cli.plot import plot as draw

    for line in draw(runs, over, out):
        typer.echo(line)


@app.command()
def generate(
    model: ModelArgument,
    seconds: Annotated[float, typer.Option(help="Length of what is generated.")] = 5.0,
    count: Annotated[
        int | None,
        typer.Option(
            help="How many different clips to make at once. Default: 1, or one of each --label."
        ),
    ] = None,
    prompt: Annotated[
        Path | None,
        typer.Option(help="A recording to continue, of any length and rate, at its own level."),
    ] = None,
    keep_prompt: Annotated[
        bool, typer.Option("--keep-prompt", help="Put the prompt itself in front.")
    ] = False,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="Voice or class; repeatable. Clips take them in turn, or without it all that the "
            "model knows."
        ),
    ] = None,
    temperature: TemperatureOption = 1.0,
    top_k: TopKOption = 0,
    top_p: TopPOption = 1.0,
    seed: SeedOption = None,
    engine: EngineOption = "auto",
    precision: PrecisionOption = "fp32",
    threads: ThreadsOption = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="wav, flac, ogg or mp3; with --count, numbered. Default: RUN-SEED.wav.",
        ),
    ] = None,
) -> None:
    """Make new audio, or continue a recording."""
    from wavenet.cli.generate import GenerateOptions, render
    from wavenet.engines.options import EngineOptions
    from wavenet.model.distributions.base import Sampling

    options = EngineOptions(precision, threads, report=lambda line: typer.echo(line, err=True))
    sampling = Sampling(temperature, top_k, top_p)
    request = GenerateOptions(
        model,
        seconds,
        count,
        prompt,
        keep_prompt,
        sampling,
        seed,
        engine,
        out,
        tuple(label or ()),
        options,
    )
    for line in render(request):
        typer.echo(line)


@app.command()
def vocode(
    model: ModelArgument,
    inputs: Annotated[
        list[Path], typer.Argument(help="Recordings to resynthesise, or log-mel frames in .npy.")
    ],
    label: Annotated[
        str | None, typer.Option(help="Voice or class, for a model that knows some.")
    ] = None,
    temperature: TemperatureOption = 1.0,
    top_k: TopKOption = 0,
    top_p: TopPOption = 1.0,
    seed: SeedOption = None,
    engine: EngineOption = "auto",
    precision: PrecisionOption = "fp32",
    threads: ThreadsOption = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="wav, flac, ogg or mp3; for several inputs a folder. Default: INPUT-vocoded.wav.",
        ),
    ] = None,
) -> None:
    """Make audio from mel frames: those of recordings, or made elsewhere."""
    from wavenet.cli.vocode import VocodeOptions
    from wavenet.cli.vocode import vocode as run_vocoder
    from wavenet.engines.options import EngineOptions
    from wavenet.model.distributions.base import Sampling

    options = EngineOptions(precision, threads, report=lambda line: typer.echo(line, err=True))
    sampling = Sampling(temperature, top_k, top_p)
    request = VocodeOptions(model, tuple(inputs), sampling, seed, engine, out, label, options)
    for line in run_vocoder(request):
        typer.echo(line)


@app.command()
def evaluate(
    model: ModelArgument,
    folder: Annotated[Path, typer.Argument(help="Folder of recordings to score.")],
    split: Annotated[
        str, typer.Option(help="all: every sample; tails: the last tenth of files over one second.")
    ] = "all",
    engine: Annotated[
        str,
        typer.Option(
            help="parallel, or a generation engine: triton, numba ... All give the same figure."
        ),
    ] = "parallel",
    device: DeviceOption = "auto",
    cache: CacheOption = None,
    label_from: Annotated[
        str | None,
        typer.Option(help="How recordings are labelled, if not as in training; see train."),
    ] = None,
    label: Annotated[str | None, typer.Option(help="One label for all of them instead.")] = None,
    vocoded: Annotated[
        int,
        typer.Option(
            help="Recordings for a vocoder to resynthesise and compare, up to 10 s of each."
        ),
    ] = 8,
    precision: PrecisionOption = "fp32",
    threads: ThreadsOption = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """How well a model predicts recordings: bits per sample, beside simple baselines."""
    from wavenet.cli.evaluate import evaluate as run_evaluation
    from wavenet.engines.options import EngineOptions
    from wavenet.evaluation.likelihood import EvaluateOptions

    options = EngineOptions(precision, threads, report=lambda line: typer.echo(line, err=True))
    request = EvaluateOptions(
        model, folder, split, engine, device, cache, label_from, label, vocoded, options
    )
    for line in run_evaluation(request, as_json):
        typer.echo(line)


@app.command()
def bench(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A preset, a .toml file, a run folder or a checkpoint. Default: small."
        ),
    ] = None,
    settings: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """How fast each engine generates on this machine, and how fast it could."""
    name, config = _load_config(source, settings or [])
    from wavenet.cli.bench import bench as run_bench

    for line in run_bench(name, config, as_json, report=lambda line: typer.echo(line, err=True)):
        typer.echo(line)


@app.command("receptive-field")
def receptive_field(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Presets, .toml files, run folders or checkpoints; several are compared. "
            "Default: small."
        ),
    ] = None,
    settings: SetOption = None,
    pitch: Annotated[float, typer.Option(help="In Hz: how many periods the field spans.")] = 100.0,
    on: Annotated[
        Path | None,
        typer.Option(
            help="A recording or a folder to measure a model's effective receptive field on."
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Voice or class to measure with --on. Default: the first.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="Draw the stack, its paths and what is measured: a .png or .svg."),
    ] = None,
    device: DeviceOption = "auto",
    cache: CacheOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """The receptive field of a network, its layers and gaps, and what it costs."""
    from wavenet.cli.receptive_field import ReceptiveFieldOptions, run

    names: list[str | None] = [*sources] if sources else [None]
    configs = tuple(_load_config(name, settings or []) for name in names)
    request = ReceptiveFieldOptions(
        configs, pitch, on, label, picture, as_json, not _shows_blocks(), device, cache
    )
    for line in run(request):
        typer.echo(line)


@app.command()
def presets() -> None:
    """The configurations that come with the program."""
    from wavenet.cli.presets import preset_table

    typer.echo("\n".join(preset_table()))


@app.command()
def cache(
    folder: Annotated[
        Path | None, typer.Argument(help="Only what was decoded from this folder of recordings.")
    ] = None,
    clear: Annotated[
        bool,
        typer.Option(
            "--clear", help="Delete what is listed; it is decoded again when next needed."
        ),
    ] = False,
    place: CacheOption = None,
) -> None:
    """List the decoded recordings that training keeps, or clear them."""
    from wavenet.cli.cache import list_or_clear

    for line in list_or_clear(folder, clear, place):
        typer.echo(line)


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Argument(help="Recordings to use instead of the bundled speech.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder.")] = Path("runs/demo"),
    steps: Annotated[int | None, typer.Option(help="Training steps, if not the preset's.")] = None,
    cache: CacheOption = None,
) -> None:
    """Train a small model on bundled speech for a few minutes, and hear what it makes."""
    from wavenet.cli.demo import run_demo

    for line in run_demo(folder, out, steps, cache):
        typer.echo(line)


def _shows_blocks() -> bool:
    """Whether the output can hold more than ASCII."""
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _load_config(source: str | None, settings: list[str]) -> tuple[str, Any]:
    """The name and the config of a preset, a file, a run folder or a checkpoint."""
    from wavenet.config import loading
    from wavenet.model import checkpoint, locate

    name = source or loading.DEFAULT_PRESET
    path = Path(name)
    if path.is_dir() and name not in loading.preset_names():
        if not (path / "config.toml").exists():
            raise ConfigError(
                f"{path}: is a folder without config.toml, so not a run; "
                "name a preset, a .toml file, a run or a checkpoint"
            )
        return name, loading.load(path / "config.toml", settings)
    if path.suffix == checkpoint.SUFFIX or name in locate.bundled():
        values = checkpoint.load(locate.find(path)).config.to_dict()
        return name, loading.parse(loading.override(values, settings), name)
    return name, loading.load(name, settings)
