"""`wavenet demo`: from bundled speech to new audio and a picture of it.

It takes a few minutes on two CPU cores.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf

from wavenet import plotting
from wavenet.audio import writing
from wavenet.cli.console import ConsoleReport, duration
from wavenet.data.dataset import Corpus
from wavenet.data.pcm_cache import index_folder
from wavenet.errors import ChangedRunError, CorpusError, RunError
from wavenet.generation.api import generate, load
from wavenet.system import resources
from wavenet.training.resume import TrainOptions
from wavenet.training.run_folder import Run
from wavenet.training.session import train

BUNDLED = resources.folder("starter") / "speech"
PRESET = "tiny"
PROMPT_SECONDS = 1.5
NEW_SECONDS = 3.0
SEED = 1


def run_demo(
    folder: Path | None, out: Path, steps: int | None, cache: Path | None
) -> Iterator[str]:
    """Train `tiny`, continue a held-out recording, generate from silence, draw.

    Yields lines to print. Raises WavenetError.
    """
    if folder is None and not BUNDLED.is_dir():
        raise CorpusError(
            "the bundled recordings come with the source, not with the wheel; "
            "name a folder: wavenet demo FOLDER"
        )
    folder = folder or BUNDLED
    settings = () if steps is None else (f"train.steps={steps}",)
    # A demo that has begun goes on with the config of its run.
    config = None if Run(out).exists else PRESET
    report = ConsoleReport()
    try:
        run = train(TrainOptions(folder, config, settings, out, cache=cache), report)
    except ChangedRunError:
        raise RunError(
            f"{out}: holds a demo of other recordings or length; "
            "delete it, or choose another place with -o"
        ) from None
    finally:
        report.close()
    last = run.latest()
    if last is None or last.training.step < last.config.train.steps:
        yield f"the demo goes on where it stopped with: wavenet demo -o {out}"
        return
    yield from _generate_and_draw(run, folder, cache)


def _generate_and_draw(run: Run, folder: Path, cache: Path | None) -> Iterator[str]:
    model = load(run.folder)
    config, rate = model.config, model.config.audio.sample_rate
    index = index_folder(folder, config.audio, trim=config.trims, cache=cache)
    corpus = Corpus(index, config, config.model.receptive_field)
    span = max(corpus.validation, key=len)
    held_out = corpus.wav(span)[: round((PROMPT_SECONDS + NEW_SECONDS) * rate)]
    prompt = held_out[: round(PROMPT_SECONDS * rate)]
    sf.write(run.folder / "held-back.wav", held_out, rate)
    sf.write(run.folder / "prompt.wav", prompt, rate)
    continuation = generate(model, NEW_SECONDS, SEED, prompt=run.folder / "prompt.wav")
    continued = np.concatenate([prompt, continuation])
    from_silence = generate(model, NEW_SECONDS, SEED)
    for name, wav in {"continued.wav": continued, "from-nothing.wav": from_silence}.items():
        with writing.writer(run.folder / name, rate) as file:
            file.write(wav)
    unigram, bigram = corpus.held_out_baselines()
    prompt_seconds = f"{len(prompt) / rate:.1f} s"
    clips = {
        "a recording it never heard": held_out,
        f"its first {prompt_seconds}, continued by the model": continued,
        "made from nothing": from_silence,
    }
    picture = run.folder / "demo.png"
    marks = {"frequency alone": unigram, "one sample back": bigram}
    plotting.overview(picture, clips, rate, run.metrics(), corpus.distribution.levels, marks)
    bits = model.training.validation_bits or float("nan")
    yield ""
    yield (
        f"after {duration(model.training.seconds)} of training: "
        f"{bits:.2f} bits per sample on speech it never heard"
    )
    yield (
        f"  knowing only how often each level occurs takes {unigram:.2f}, "
        f"knowing the sample before {bigram:.2f}"
    )
    what = f"a held-back recording, continued after {prompt_seconds}"
    yield f"  {run.folder / 'continued.wav'}     {what}"
    yield f"  {run.folder / 'from-nothing.wav'}  from silence"
    yield f"  {picture}          waveforms, spectrograms, loss"
    yield "next:"
    yield f"  wavenet generate {run.folder} --seconds 10 -o new.wav"
    yield "  wavenet train path/to/your/recordings --config small"
    yield f"  wavenet receptive-field {run.folder}"
