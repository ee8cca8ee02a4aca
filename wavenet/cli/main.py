"""The commands: parse, call, print. Heavy imports wait until a command needs them."""

import json
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from wavenet.errors import AlreadyReportedError, ConfigError, WavenetError

# Before torch is loaded: its threads wait for each other some microseconds awake, then asleep. Left to itself OpenMP stays awake for
# milliseconds, and a step takes several times as long as soon as another program wants a core.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

UsageError: Any = typer.BadParameter.__mro__[
    1
]  # click's, which newer versions of Typer bring along under another name
_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
)  # in torch's RuntimeErrors
_SPARE_MEMORY = {
    "train": "lower train.batch or train.segment_seconds, or raise train.accumulate",
    "generate": "lower --count",
}


class _OneLineErrors(TyperGroup):
    """Users meet one line, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold any bytes
        try:
            return super().invoke(ctx)
        except AlreadyReportedError:
            raise typer.Exit(1) from None
        except (WavenetError, UsageError) as e:
            if isinstance(e, UsageError) and not _first():
                raise typer.Exit(1) from None
            hint = (
                ""
                if isinstance(e, WavenetError)
                else f"; see {' '.join(filter(None, ('wavenet', ctx.invoked_subcommand)))} --help"
            )
            message = str(e) if isinstance(e, WavenetError) else e.format_message().rstrip(".")
            typer.echo(f"wavenet: {message}{hint}", err=True)
            raise typer.Exit(1) from None
        except (MemoryError, RuntimeError) as e:
            if not isinstance(e, MemoryError) and not any(sign in str(e) for sign in _NO_MEMORY):
                raise
            advice = _SPARE_MEMORY.get(
                ctx.invoked_subcommand, "close other programs, or take a smaller model"
            )
            typer.echo(f"wavenet: this needs more memory than there is; {advice}", err=True)
            raise typer.Exit(1) from None
        except BrokenPipeError:
            raise  # the reader of our output has gone (`wavenet evaluate ... | head`): Typer ends quietly
        except OSError as e:
            typer.echo(
                f"wavenet: {e.filename or 'a file'}: {e.strerror or e}; what was finished is kept",
                err=True,
            )
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            if _first():
                typer.echo("wavenet: interrupted; what was finished is kept", err=True)
            raise typer.Exit(130) from None


def _first() -> bool:
    """False in all but one of the processes that torchrun starts with the same command line: what all see alike is told once."""
    return os.environ.get("RANK", "0") == "0"


app = typer.Typer(
    cls=_OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train a WaveNet on your own recordings and hear it.",
)

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", "-c", help="A preset (see `wavenet presets`) or a .toml file."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting, as key=value: train.learning_rate=3e-4. Repeatable."),
]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache", help="Where decoded recordings are kept. Default: the user's cache folder."
    ),
]
TemperatureOption = Annotated[
    float,
    typer.Option(
        help="Below 1 is calmer, down to silence; above 1 wilder; 0 always the likeliest."
    ),
]
TopKOption = Annotated[
    int, typer.Option(help="Draw from this many likeliest mu-law levels only; 0 is all.")
]
TopPOption = Annotated[
    float,
    typer.Option(help="Draw from the fewest mu-law levels that hold this probability; 1 is all."),
]
SeedOption = Annotated[
    int | None,
    typer.Option(help="The same seed gives the same audio. Default: a new one, printed."),
]
EngineOption = Annotated[
    str, typer.Option(help="auto, triton (a GPU), numba, cuda-graph (a GPU) or reference.")
]
ModelArgument = Annotated[
    Path,
    typer.Argument(
        help="A run folder (its best checkpoint is taken), a checkpoint file, or demo-voice."
    ),
]
PrecisionOption = Annotated[str, typer.Option(help="fp32, or bf16: rounded weights, faster.")]
ThreadsOption = Annotated[int, typer.Option(help="At most so many threads; 0 is as many as help.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]


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
        int | None, typer.Option(help="End this sitting at this step; the schedule stays as it is.")
    ] = None,
    device: DeviceOption = "auto",
    seed: Annotated[
        int | None, typer.Option(help="Of the weights' start and the choice of windows.")
    ] = None,
    label_from: Annotated[
        str | None,
        typer.Option(
            help="Where labels come from: folder, a .csv of file,label, or a pattern as (?P<label>[a-z]+)_."
        ),
    ] = None,
    settings: SetOption = None,
    cache: CacheOption = None,
    accept_changes: Annotated[
        bool, typer.Option(help="Go on with an existing run under other settings or recordings.")
    ] = False,
    max_hours: Annotated[
        float | None,
        typer.Option(help="End this sitting after so many hours; then score, save and stop."),
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

    extra = [f"train.steps={steps}"] * (steps is not None) + [f"train.seed={seed}"] * (
        seed is not None
    )
    extra += [f"train.label_from={json.dumps(label_from)}"] * (label_from is not None)
    request = TrainOptions(
        folder,
        config,
        (*(settings or []), *extra),
        out,
        stop_at,
        device,
        cache,
        accept_changes or dry_run,
        max_hours,
    )
    report = TensorBoardReport() if tensorboard and not dry_run and _first() else ConsoleReport()
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
            help="Voice or class; repeatable. Clips take them in turn, or without it all that the model knows."
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
        list[Path], typer.Argument(help="Recordings to say again, or .npy files of log-mel frames.")
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
    from wavenet.cli.vocode import vocode as follow
    from wavenet.engines.options import EngineOptions
    from wavenet.model.distributions.base import Sampling

    options = EngineOptions(precision, threads, report=lambda line: typer.echo(line, err=True))
    sampling = Sampling(temperature, top_k, top_p)
    for line in follow(
        VocodeOptions(model, tuple(inputs), sampling, seed, engine, out, label, options)
    ):
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
            help="Recordings that a vocoder says again and is compared on, up to 10 s of each."
        ),
    ] = 8,
    precision: PrecisionOption = "fp32",
    threads: ThreadsOption = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """How well a model predicts recordings: bits per sample, beside simple yardsticks."""
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
    name, config = _config_of(source, settings or [])
    from wavenet.cli.bench import bench as run_bench

    for line in run_bench(name, config, as_json, report=lambda line: typer.echo(line, err=True)):
        typer.echo(line)


@app.command("receptive-field")
def receptive_field(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Presets, .toml files, run folders or checkpoints; several are compared. Default: small."
        ),
    ] = None,
    settings: SetOption = None,
    pitch: Annotated[float, typer.Option(help="In Hz: how many of its periods are heard.")] = 100.0,
    on: Annotated[
        Path | None,
        typer.Option(
            help="A recording or a folder: measure what a trained model makes of its field there."
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
    """How far back a network hears, through which layers, with which gaps, and what it costs."""
    from wavenet.cli.receptive_field import ReceptiveFieldOptions, run

    names: list[str | None] = [*sources] if sources else [None]
    found = tuple(_config_of(name, settings or []) for name in names)
    request = ReceptiveFieldOptions(
        found, pitch, on, label, picture, as_json, not _shows_blocks(), device, cache
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


def _config_of(source: str | None, settings: list[str]) -> tuple[str, Any]:
    """The config behind a preset, a file, a run folder or a checkpoint, and what to call it."""
    from wavenet.config import loading
    from wavenet.model import checkpoint, locate

    name = source or loading.DEFAULT_PRESET
    path = Path(name)
    if path.is_dir() and name not in loading.preset_names():
        if not (path / "config.toml").exists():
            raise ConfigError(
                f"{path}: is a folder without config.toml, so not a run; name a preset, a .toml file, a run or a checkpoint"
            )
        return name, loading.load(path / "config.toml", settings)
    if path.suffix == checkpoint.SUFFIX or name in locate.bundled():
        found = checkpoint.load(locate.find(path)).config.to_dict()
        return name, loading.parse(loading.override(found, settings), name)
    return name, loading.load(name, settings)
