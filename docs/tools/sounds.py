"""The sounds of docs/listen.md, made anew: docs/audio/*.mp3.

    python -m docs.tools.sounds [NAME ...]

Models that ship make them, or what `wavenet demo` makes of these in two minutes each, and the
recordings beside them are of `data/starter`. A file's metadata say what it is. `stages` needs a run
that is not here, with its checkpoints of STAGES:

    python -m docs.tools.sounds stages --run RUN
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf

import wavenet
from wavenet.audio import writing
from wavenet.audio.reading import read_blocks
from wavenet.cli.demo_tune import TUNE
from wavenet.glossary import Wav

ROOT = Path(__file__).parents[2]
STARTER, FOLDER = ROOT / "data" / "starter", ROOT / "docs" / "audio"
# What begins a clip of a stage, and what demo-vocoder says again.
PROMPT = STARTER / "speech" / "allison" / "queue-periodic-announce.flac"
SPOKEN = STARTER / "speech" / "allison" / "demo-thanks.flac"
# About two minutes on two cores.
DEMO_STEPS = {"voice": 600, "tune": 600}
PROMPT_SECONDS = 1.5
STAGES, LEAD_SECONDS = (500, 2000, 5000, 10000), 0.5
# In comments, for MP3 keeps no other tag for it.
CREDITS = {
    "speech": "Asterisk core sounds, voice Allison Smith, CC BY-SA 3.0",
    "instrument": "FluidR3_GM by Frank Wen and others, MIT",
}


class Sound(NamedTuple):
    """A clip (time,) with its rate in Hz, and texts for its metadata."""

    wav: Wav
    rate: int
    tags: dict[str, str]


Sounds = Iterator[tuple[str, Sound]]


def voice(options: argparse.Namespace) -> Sounds:
    """Speech from nothing."""
    yield "voice", _made(wavenet.generate("demo-voice", seconds=6, seed=3))


def sentence(options: argparse.Namespace) -> Sounds:
    """A recording that was held out, and its first second and a half continued."""
    with _demo("voice") as run:
        recording = _recording(run / "held-back.wav", CREDITS["speech"])
        yield "sentence", recording
        yield "sentence-continued", _continued(run, recording, PROMPT_SECONDS, 8.8)


def tune(options: argparse.Namespace) -> Sounds:
    """A recording of a flute that was held out, and a tune that a model of it plays."""
    with _demo("tune") as run:
        yield "flute", _recording(run / "held-back.wav", CREDITS["instrument"])
        yield "tune", _made(wavenet.play(run, TUNE, seed=1))


@contextmanager
def _demo(what: str) -> Iterator[Path]:
    """The run folder of a demo, while it is there."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "demo")
        how = ["--what", what, "--steps", str(DEMO_STEPS[what]), "--out", str(run)]
        subprocess.run([sys.executable, "-m", "wavenet", "demo", *how], check=True)
        yield run


def copy(options: argparse.Namespace) -> Sounds:
    """Speech, and the same made again from its mel frames by a vocoder that never heard it."""
    yield "spoken", _recording(SPOKEN, CREDITS["speech"])
    yield "spoken-again", _made(wavenet.vocode("demo-vocoder", SPOKEN, seed=1), CREDITS["speech"])


def stages(options: argparse.Namespace) -> Sounds:
    """The same half second, continued by a voice that has learnt for so many steps."""
    if options.run is None:
        return
    recording = _recording(PROMPT, CREDITS["speech"])
    for step in STAGES:
        checkpoint = options.run / "checkpoints" / f"step-{step:08d}.safetensors"
        yield f"stage-{step}", _continued(checkpoint, recording, LEAD_SECONDS, 2.0)


def _continued(model: Path, recording: Sound, lead_seconds: float, seconds: float) -> Sound:
    """The beginning of a recording, and what a model makes of it; so long altogether."""
    lead = wavenet.Audio(recording.wav[: round(lead_seconds * recording.rate)], recording.rate)
    made = wavenet.generate(model, seconds - lead_seconds, seed=1, prompt=lead)
    wav, rate, tags = _made(made, CREDITS["speech"])
    return Sound(np.concatenate([lead, wav]), rate, tags)


def _made(audio: wavenet.Audio, made_from: str = "") -> Sound:
    tags = dict(audio.tags[0])
    if made_from:
        tags["comment"] += f", from {made_from}"
    return Sound(np.asarray(audio), audio.sample_rate or 0, tags)


def _recording(path: Path, credit: str) -> Sound:
    """A recording at its own rate."""
    rate = sf.info(path).samplerate
    wav = np.concatenate(list(read_blocks(path, rate)))
    return Sound(wav, rate, {"comment": f"A recording: {credit}"})


SOUNDS: dict[str, Callable[[argparse.Namespace], Sounds]] = {
    each.__name__: each for each in (voice, sentence, tune, copy, stages)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--run", type=Path, help="the run whose checkpoints make the stages")
    options = parser.parse_args()
    if unknown := {*options.names} - {*SOUNDS}:
        parser.error(f"{', '.join(unknown)}: no such name; there are {', '.join(SOUNDS)}")
    FOLDER.mkdir(exist_ok=True)
    for make in map(SOUNDS.__getitem__, options.names or SOUNDS):
        for name, sound in make(options):
            path = FOLDER / f"{name}.mp3"
            with writing.writer(path, sound.rate, sound.tags) as file:
                file.write(sound.wav)
            seconds = len(sound.wav) / sound.rate
            print(f"{path.relative_to(ROOT)}: {seconds:.1f} s, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
