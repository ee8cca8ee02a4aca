"""`wavenet demo`: from bundled speech to new audio and a picture of it.

It takes three minutes or four, whatever the machine.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavenet.cli import terminal
from wavenet.cli.option_names import with_options
from wavenet.cli.options import CacheOption, out_option
from wavenet.errors import ChangedRunError, CorpusError, OutputError, RunError, reason_of
from wavenet.system import interrupts, resources

if TYPE_CHECKING:
    from wavenet.data.corpus import Corpus
    from wavenet.glossary import Wav
    from wavenet.training.run_folder import Run

BUNDLED = resources.folder("starter") / "speech"
BASE = "base-speech"
YOURS = "path/to/your/recordings"
MINUTES = 2.0
PROMPT_SECONDS = 1.5
NEW_SECONDS = 3.0
SEED = 1


def demo(
    folder: Annotated[
        list[Path] | None, typer.Argument(help="Recordings to use instead of the bundled speech.")
    ] = None,
    out: Annotated[Path, out_option("Run folder.")] = Path("runs/demo"),
    minutes: Annotated[
        float | None, typer.Option(help=f"Length of the training. Default: {MINUTES:g}.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="The same in steps.")] = None,
    cache: CacheOption = None,
) -> None:
    """Teach a trained model the bundled voices in two minutes, and hear what it makes."""
    if not folder and not BUNDLED.is_dir():
        raise CorpusError(
            "",
            "the bundled recordings come with the source, not with the wheel",
            "name a folder: wavenet demo FOLDER",
        )
    with terminal.loading("PyTorch"):
        from wavenet.cli.console import ConsoleReport
        from wavenet.data.cache_folders import cache_option
        from wavenet.system.shell import command
        from wavenet.training.events import TrainingListener
        from wavenet.training.run_folder import Run
        from wavenet.training.session import train
        from wavenet.training.trainer import Trainer
    interrupts.raise_exceptions()

    class KeepCorpus(TrainingListener):
        """Keeps the recordings that training has read, because the demo goes on with them."""

        corpus: "Corpus"

        def prepared(self, run: Run, corpus: "Corpus") -> None:
            self.corpus = corpus

    class DemoReport(ConsoleReport):
        """Leaves it to the demo to say how a training that was stopped goes on."""

        def finished(self, trainer: Trainer, run: Run, interrupted: bool) -> None:
            if not interrupted and trainer.step >= trainer.config.train.steps:
                return super().finished(trainer, run, interrupted)
            self.close()
            self.interrupted = interrupted
            self.note(f"stopped at step {trainer.step}, everything is saved")

    console, keep = DemoReport(), KeepCorpus()
    given: dict[str, Any] = {"train.minutes": minutes, "train.steps": steps}
    overrides = {name: value for name, value in given.items() if value is not None}
    # A demo that has begun goes on with the config of its run.
    if not Run(out).exists:
        overrides = {"train.init_from": BASE} | (overrides or {"train.minutes": MINUTES})
    try:
        run = train(
            folder or BUNDLED,
            overrides=overrides,
            out=out,
            cache=cache,
            listeners=[console, keep],
        )
    except ChangedRunError:
        advice = "delete it, or choose another place with -o"
        raise RunError(out, "holds a demo of other recordings or length", advice) from None
    finally:
        console.close()
    last = run.latest()
    if last is None or last.training.step < last.config.train.steps:
        goes_on = command("wavenet", "demo", *(folder or ()), "-o", out, *cache_option(cache))
        terminal.status(with_options(f"the demo goes on where it stopped with: {goes_on}"))
        raise typer.Exit(128 + interrupts.received if console.interrupted else 0)
    _generate_and_draw(run, keep.corpus)


def _generate_and_draw(run: "Run", corpus: "Corpus") -> None:
    """Continue a held-out recording, generate from silence, and draw both beside the recording."""
    import numpy as np

    from wavenet import plotting
    from wavenet.audio import writing
    from wavenet.cli.values import duration
    from wavenet.data.statistics import held_out_baselines
    from wavenet.generation.api import generate, load
    from wavenet.generation.provenance import model_name, synthetic_tags

    model = load(run.folder)
    rate = model.config.audio.sample_rate
    span = max(corpus.validation, key=len)
    held_out = corpus.wav(span)[: round((PROMPT_SECONDS + NEW_SECONDS) * rate)]
    prompt = held_out[: round(PROMPT_SECONDS * rate)]

    def write(name: str, wav: "Wav", tags: Mapping[str, str] = {}) -> None:
        with writing.writer(run.folder / f"{name}.wav", rate, tags) as file:
            file.write(wav)

    write("held-back", held_out)
    write("prompt", prompt)
    continuation = generate(model, NEW_SECONDS, SEED, prompt=run.folder / "prompt.wav")
    continued = np.concatenate([prompt, continuation])
    from_silence = generate(model, NEW_SECONDS, SEED)
    about = partial(synthetic_tags, model_name(run.folder), model, SEED)
    write("continued", continued, about(lead_seconds=len(prompt) / rate))
    write("from-nothing", from_silence, about())
    unigram, bigram = held_out_baselines(corpus)
    prompt_seconds = f"{len(prompt) / rate:.1f} s"
    clips = {
        "a recording it never heard": held_out,
        f"its first {prompt_seconds}, continued by the model": continued,
        "made from nothing": from_silence,
    }
    picture = run.folder / "demo.png"
    pictured = f"  {picture}          waveforms, spectrograms, loss"
    marks = {"frequency alone": unigram, "one sample back": bigram}
    try:
        plotting.overview(picture, clips, rate, run.metrics(), corpus.distribution.levels, marks)
    except (OutputError, MemoryError) as e:
        pictured = f"  no picture: {reason_of(e)}"
    bits = model.training.validation_bits or float("nan")
    terminal.result(f"""
after {duration(model.training.seconds)} of training: \
{bits:.2f} bits per sample on speech it never heard
  knowing only how often each level occurs takes {unigram:.2f}, \
knowing the sample before {bigram:.2f}
  {run.folder / "continued.wav"}     a held-back recording, continued after {prompt_seconds}
  {run.folder / "from-nothing.wav"}  from silence
{pictured}
next:""")
    _suggest(run, corpus)


def _suggest(run: "Run", corpus: "Corpus") -> None:
    """Print what to do next."""
    from wavenet.data.cache_folders import cache_option
    from wavenet.system.shell import command

    cache = cache_option(corpus.index.cache.parent)
    steps = (
        command("wavenet", "generate", run.folder, "--seconds", 10, "-o", "new.wav"),
        command("wavenet", "train", YOURS, "--init-from", BASE, "--minutes", 10, *cache),
        command("wavenet", "receptive-field", run.folder),
    )
    for step in steps:
        terminal.result(with_options(f"  {step}"))
