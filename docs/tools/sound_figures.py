"""The pictures of sound and of learning in README.md and docs/training.md.

    python -m docs.tools.sound_figures

draws them of docs/audio/*.mp3, which docs/tools/sounds.py makes, and of the curves in models/.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr

from docs.tools.drawing import palettized
from docs.tools.sounds import FOLDER as AUDIO
from docs.tools.sounds import LEAD_SECONDS, PROMPT_SECONDS, ROOT, STAGES
from wavenet.audio import pitch
from wavenet.cli.demo_tune import TUNE
from wavenet.generation import sources
from wavenet.generation.api import load
from wavenet.glossary import Wav
from wavenet.plotting import sound, style
from wavenet.plotting.losses import BIGRAM, UNIFORM, UNIGRAM, losses
from wavenet.plotting.sound import Clip
from wavenet.training.run_folder import read_metrics

DOCS = ROOT / "docs"

SHOWN_SECONDS = 8.8  # of each row of the README's picture
# From the corpus.json of such a run.
BASELINES = {UNIFORM: 8.0, UNIGRAM: 7.61566, BIGRAM: 5.70718}


def sounds(path: Path) -> None:
    """What there is to hear: a voice that goes on, a tune, a voice made again."""
    figure = style.blank(11, 6.4)
    rows = figure.subplots(3, 1, sharex=True).tolist()
    continued, rate = read("sentence-continued")
    tune, _ = read("tune")
    spoken, _ = read("spoken")
    again, again_rate = read("spoken-again")
    half = round(SHOWN_SECONDS / 2 * rate)
    # At the rate of the others, so that the rows have the same axes.
    copied = np.concatenate([spoken[:half], soxr.resample(again, again_rate, rate)[:half]])
    clips = [Clip(continued, PROMPT_SECONDS), Clip(tune), Clip(copied, SHOWN_SECONDS / 2)]
    titles = {
        "A voice goes on where a recording ends": "babble, after two minutes of training",
        "A flute plays the notes that it is given": "after two minutes of training",
        "A voice, made again from its mel spectrogram": "by a vocoder that never heard it",
    }
    for axes, clip, (title, note) in zip(rows, clips, titles.items(), strict=True):
        image = sound.spectrogram(axes, clip.wav, rate)
        sound.boundary(axes, clip, rate)
        axes.set_title(title, loc="left", fontsize=14, fontweight="bold")
        axes.set_title(note, loc="right", fontsize=12, color=style.GREY)
        axes.set_xlim(0, SHOWN_SECONDS)
        axes.tick_params(labelbottom=True)
        axes.xaxis.set_major_formatter("{x:g} s")
    sound.decibel_scale(figure, image, rows)
    model = load("demo-flute")
    asked = sources.from_text(TUNE, model, sources.How()).values["pitch"]
    m = model.config.model
    found = pitch.track(tune, rate, m.frame_hop, m.pitch_low_hz, m.pitch_high_hz)
    curves = {sound.ASKED: asked, sound.FOUND: found}
    sound.pitch_curves(rows[1], curves, m.frame_hop, rate)
    style.save(figure, path)


def stages(path: Path) -> None:
    """The same half second, continued after more and more steps of learning."""
    scored = {m["step"]: m for m in curve() if m.get("validation_bits") is not None}
    figure = style.blank(10, 5.2)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    wavs = [read(f"stage-{step}") for step in STAGES]
    rate = wavs[0][1]
    images = sound.spectrograms(panels.ravel().tolist(), [wav for wav, _ in wavs], rate)
    for axes, step, (wav, _) in zip(panels.flat, STAGES, wavs, strict=True):
        bits = scored[step]["validation_bits"]
        axes.set_title(f"step {step:,}: {bits:.2f} bits per sample", loc="left", fontsize=12)
        sound.boundary(axes, Clip(wav, LEAD_SECONDS), rate)
        axes.tick_params(labelbottom=True, labelleft=True)
        axes.set_xlabel("seconds")
    sound.decibel_scale(figure, images[0], panels.ravel().tolist())
    style.save(figure, path)


def loss(path: Path) -> None:
    """How `demo-voice` learnt."""
    losses(path, {"demo-voice": curve()}, "minutes", BASELINES)


def curve() -> list[dict[str, Any]]:
    """The logged lines of `demo-voice`."""
    return read_metrics(ROOT / "models" / "demo-voice.jsonl")


def read(name: str) -> tuple[Wav, int]:
    """A sound (time,) of docs/audio, and its rate in Hz."""
    wav, rate = sf.read(AUDIO / f"{name}.mp3", dtype="float32")
    return wav, rate


PICTURES: dict[str, Callable[[Path], None]] = {
    "sounds.png": sounds,
    "stages.png": stages,
    "loss.png": loss,
}


def draw_all() -> list[Path]:
    """Draw every picture of PICTURES into docs/."""
    for name, draw in PICTURES.items():
        draw(DOCS / name)
        # As many as a PNG with a palette can have: a spectrogram uses all.
        palettized(DOCS / name, 256)
    return [DOCS / name for name in PICTURES]


if __name__ == "__main__":
    for path in draw_all():
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB")
