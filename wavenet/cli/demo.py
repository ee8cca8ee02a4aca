"""`wavenet demo`: from bundled recordings to new audio and a picture of it.

It takes three minutes or four, whatever the machine.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from wavenet.cli import demo_tune, demo_voice, terminal
from wavenet.cli.option_names import with_options
from wavenet.cli.options import CacheOption, out_option
from wavenet.errors import ChangedRunError, CorpusError, RunError
from wavenet.system import interrupts

if TYPE_CHECKING:
    from wavenet.data.corpus import Corpus
    from wavenet.training.run_folder import Run

YOURS = "path/to/your/recordings"
MINUTES = 2.0


class Demo(NamedTuple):
    """What a demo is made of: recordings, the model that it begins from, and what comes after."""

    bundled: Path
    base: str
    make: Callable[["Run", "Corpus"], None]
    suggestions: Callable[["Run"], list[str]]


DEMOS: dict[str, Demo] = {
    "tune": Demo(demo_tune.BUNDLED, demo_tune.BASE, demo_tune.make, demo_tune.suggestions),
    "voice": Demo(demo_voice.BUNDLED, demo_voice.BASE, demo_voice.make, demo_voice.suggestions),
}


def demo(
    folder: Annotated[
        list[Path] | None, typer.Argument(help="Recordings to use instead of the bundled ones.")
    ] = None,
    what: Annotated[
        Literal["tune", "voice"] | None,
        typer.Option(help="A tune on an instrument, or a voice. Default: tune; with FOLDER voice."),
    ] = None,
    out: Annotated[Path, out_option("Run folder.")] = Path("runs/demo"),
    minutes: Annotated[
        float | None, typer.Option(help=f"Length of the training. Default: {MINUTES:g}.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="The same in steps.")] = None,
    cache: CacheOption = None,
) -> None:
    """Teach a trained model the bundled recordings in two minutes, and hear what it makes."""
    named = () if what is None else ("--what", what)
    what = what or ("voice" if folder else "tune")
    chosen = DEMOS[what]
    if not folder and not chosen.bundled.is_dir():
        raise CorpusError(
            "",
            "the bundled recordings come with the source, not with the wheel",
            "name a folder: wavenet demo FOLDER",
        )
    with terminal.loading("PyTorch"):
        from wavenet.cli.demo_training import DemoReport, KeepCorpus
        from wavenet.data.cache_folders import cache_option
        from wavenet.system.shell import command
        from wavenet.training.session import train
    interrupts.raise_exceptions()
    overrides = _overrides(what, out, minutes, steps)
    console, keep = DemoReport(), KeepCorpus()
    try:
        run = train(
            folder or chosen.bundled,
            overrides=overrides,
            out=out,
            cache=cache,
            listeners=[console, keep],
        )
    except ChangedRunError:
        raise _of_another_demo(out) from None
    finally:
        console.close()
    last = run.latest()
    if last is None or last.training.step < last.config.train.steps:
        goes_on = command(
            "wavenet", "demo", *(folder or ()), *named, "-o", out, *cache_option(cache)
        )
        terminal.status(with_options(f"the demo goes on where it stopped with: {goes_on}"))
        raise typer.Exit(128 + interrupts.received if console.interrupted else 0)
    chosen.make(run, keep.corpus)
    _suggest(chosen, run, keep.corpus)


def _overrides(what: str, out: Path, minutes: float | None, steps: int | None) -> dict[str, Any]:
    """The settings that are not those of the run. Raises RunError for that of another demo."""
    from wavenet.training.run_folder import Run

    given: dict[str, Any] = {"train.minutes": minutes, "train.steps": steps}
    overrides = {name: value for name, value in given.items() if value is not None}
    # A demo that has begun goes on with the config of its run.
    if not Run(out).exists:
        return {"train.init_from": DEMOS[what].base} | (overrides or {"train.minutes": MINUTES})
    if ("pitch" in Run(out).config().model.conditioning) != (what == "tune"):
        raise _of_another_demo(out)
    return overrides


def _of_another_demo(out: Path) -> RunError:
    return RunError(
        out,
        "holds a demo of other recordings, kind or length",
        "delete it, or choose another place with -o",
    )


def _suggest(demo: Demo, run: "Run", corpus: "Corpus") -> None:
    """Print what to do next."""
    from wavenet.data.cache_folders import cache_option
    from wavenet.system.shell import command

    cache = cache_option(corpus.index.cache.parent)
    own = command("wavenet", "train", YOURS, "--init-from", demo.base, "--minutes", 10, *cache)
    terminal.result("next:")
    for step in (*demo.suggestions(run), own):
        terminal.result(with_options(f"  {step}"))
