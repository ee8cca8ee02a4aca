"""What `wavenet demo --what voice` makes: speech, continued and from nothing."""

from collections.abc import Mapping
from functools import partial
from math import nan
from typing import TYPE_CHECKING

from wavenet.cli import terminal
from wavenet.errors import OutputError, reason_of
from wavenet.system import resources
from wavenet.system.shell import command

if TYPE_CHECKING:
    from wavenet.data.corpus import Corpus
    from wavenet.glossary import Wav
    from wavenet.training.run_folder import Run

BUNDLED = resources.folder("starter") / "speech"
BASE = "base-speech"
PROMPT_SECONDS = 1.5
NEW_SECONDS = 3.0
# Of the continuation, and of what begins with silence: with one seed they would be alike.
SEED, OTHER_SEED = 1, 2


def make(run: "Run", corpus: "Corpus") -> None:
    """Continue a held-out recording, generate from silence, and draw both beside the recording."""
    import numpy as np

    from wavenet.audio import writing
    from wavenet.cli.values import duration
    from wavenet.generation.api import generate, load
    from wavenet.generation.provenance import model_name, synthetic_tags
    from wavenet.plotting.losses import baselines_of
    from wavenet.plotting.sound import Clip, overview

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
    from_silence = generate(model, NEW_SECONDS, OTHER_SEED)
    about = partial(synthetic_tags, model_name(run.folder), model)
    write("continued", continued, about(SEED, lead_seconds=len(prompt) / rate))
    write("from-nothing", from_silence, about(OTHER_SEED))
    counted = run.corpus().get("baselines", {})
    prompt_seconds = f"{len(prompt) / rate:.1f} s"
    clips = {
        "a recording it never heard": Clip.recording(held_out),
        f"its first {prompt_seconds}, continued by the model": Clip(continued, len(prompt) / rate),
        "made from nothing": Clip(from_silence),
    }
    picture = run.folder / "demo.png"
    pictured = f"  {picture}          waveforms, spectrograms, loss"
    baselines = baselines_of([corpus.distribution.levels], [counted])
    try:
        overview(picture, clips, rate, run.metrics(), baselines)
    except (OutputError, MemoryError) as e:
        pictured = f"  no picture: {reason_of(e)}"
    bits = model.training.validation_bits or nan
    terminal.result(f"""
after {duration(model.training.seconds)} of training: \
{bits:.2f} bits per sample on speech it never heard
  knowing only how often each level occurs takes {counted.get("unigram_bits", nan):.2f}, \
knowing the sample before {counted.get("bigram_bits", nan):.2f}
  {run.folder / "continued.wav"}     a held-back recording, continued after {prompt_seconds}
  {run.folder / "from-nothing.wav"}  from silence
{pictured}""")


def suggestions(run: "Run") -> list[str]:
    """Commands to try next."""
    return [
        command("wavenet", "generate", run.folder, "--seconds", 10, "-o", "new.wav"),
        command("wavenet", "receptive-field", run.folder),
    ]
