"""`wavenet train`: learn from a folder of recordings."""

import os
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavenet.cli import completion, terminal
from wavenet.cli.failures import is_first_rank
from wavenet.cli.options import CacheOption, ConfigOption, DeviceOption, SetOption
from wavenet.system import interrupts

if TYPE_CHECKING:
    from wavenet.training.events import TrainingListener


def train(
    folder: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folder of recordings, searched with its subfolders; or several, and files."
        ),
    ] = None,
    config: ConfigOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Run folder; an existing run goes on. Default: runs/FOLDER-CONFIG, or -MODEL with "
            "--init-from alone.",
        ),
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.models,
            help="Begin with the weights of a trained model: base-speech or another that `wavenet "
            "presets` lists, a run folder or a checkpoint file.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Length of the training schedule.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="The same in minutes, from the time that a step takes.")
    ] = None,
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
            "(?P<label>\\[a-z]+)_."
        ),
    ] = None,
    label_depth: Annotated[
        int | None,
        typer.Option(help="How many folders, from the outermost on, make a label; 0 is all."),
    ] = None,
    frames_from: Annotated[
        str | None,
        typer.Option(
            help="A vocoder's mel frames from a folder, of an acoustic model for instance: a .npy "
            "for each recording, of its name."
        ),
    ] = None,
    settings: SetOption = None,
    cache: CacheOption = None,
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes",
            help="Go on with an existing run under other settings or recordings.",
        ),
    ] = False,
    max_hours: Annotated[
        float | None, typer.Option(help="Stop after this many hours, having scored and saved.")
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
    """Learn from recordings; run it again to go on."""
    with terminal.loading("PyTorch"):
        from wavenet.cli.console import ConsoleReport
        from wavenet.cli.tensorboard import TensorBoardReport
        from wavenet.config.loading import parse_assignments
        from wavenet.training import session
    interrupts.raise_exceptions()

    given = {
        "train.init_from": init_from,
        "train.steps": steps,
        "train.minutes": minutes,
        "train.seed": seed,
        "train.label_from": label_from,
        "train.label_depth": label_depth,
        "train.frames_from": frames_from,
    }
    overrides = parse_assignments(settings or [])
    overrides |= {name: value for name, value in given.items() if value is not None}
    with ExitStack() as stack:
        console = stack.enter_context(closing(ConsoleReport()))
        listeners: list[TrainingListener] = [console]
        if tensorboard and not dry_run and is_first_rank():
            # Before the console, whose progress bar its line would cut.
            listeners.insert(0, stack.enter_context(closing(TensorBoardReport(console.note))))
        session.train(
            folder,
            config=config,
            overrides=overrides,
            out=out,
            stop_at=stop_at,
            max_hours=max_hours,
            accept_changes=accept_changes,
            device=device,
            cache=cache,
            dry_run=dry_run,
            listeners=listeners,
        )
    # torchrun would take another status for a failure.
    if console.interrupted and "WORLD_SIZE" not in os.environ:
        raise typer.Exit(128 + interrupts.received)
