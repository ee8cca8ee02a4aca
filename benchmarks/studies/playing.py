"""Does a model play in tune, and as loudly as it is asked to?

    python -m benchmarks.studies.playing RUN SOURCE... [--seed 1] [--keep FOLDER] [--picture FILE]

plays each SOURCE, a recording or a MIDI file, at temperature 1 and prints a row for each and one
for all. What is asked for is what the model is given to follow, after it was moved by octaves into
the range that the model was trained on. Pitch is found in the result by pYIN, at the model's hop
and within its range.

    frames      that should sound: the voiced ones of a recording, or where a MIDI file has a note
    sound       the part of those that is voiced in the result
    in tune     the part of those within 50 cents; what is unvoiced is not
    of sound    the part within 50 cents of those that sound
    octave      the part of those that sound that is one octave or more off, within 50 cents
    cents       the median distance from what is asked, of those that sound; pYIN has it in steps
    asked       correlation of A-weighted loudness in dB with what was asked, all frames
    recording   the same with that of the recording; for a MIDI file the one of its name beside it
    clean       harmonics over what lies between them in dB, the median of steady notes
    own         the same of the recording

Loudness counts from -80 dB on. The row for all is of all frames together, and has the means of the
last four.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.arguments import parser, require_new
from wavenet.audio import levels, loudness, pitch, writing
from wavenet.audio.reading import open_audio
from wavenet.data.discovery import AUDIO_SUFFIXES
from wavenet.errors import AudioError, EngineError, WavenetError
from wavenet.evaluation.harmonicity import harmonics_to_noise
from wavenet.evaluation.pitch_accuracy import IN_TUNE_CENTS, cents_off
from wavenet.generation import sources
from wavenet.generation.api import load
from wavenet.generation.provenance import synthetic_tags
from wavenet.generation.sampler import Sampler
from wavenet.generation.sources import How
from wavenet.glossary import Array, Wav
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.registry import followed
from wavenet.plotting.sound import ASKED, FOUND, Clip, pitches
from wavenet.system.machine import machine

OCTAVE_CENTS = 1200.0
LEAST_DB = -80.0
NAMES = 24  # columns
NONE = float("nan")
HEADING = (
    f"{'':{NAMES}} {'frames':>7} {'sound':>7} {'in tune':>8} {'of sound':>9} {'octave':>7} "
    f"{'cents':>6} {'asked':>7} {'recording':>10} {'clean':>6} {'own':>6}"
)


# --- measures -------------------------------------------------------------------------------------


def correlation(a: Array, b: Array) -> float:
    """Of two loudnesses (frames, 1) in dB, from LEAST_DB on; NaN where one never changes."""
    frames = min(len(a), len(b))
    a, b = (np.maximum(each[:frames, 0].astype(np.float64), LEAST_DB) for each in (a, b))
    if not frames or np.ptp(a) == 0 or np.ptp(b) == 0:
        return NONE
    return float(np.corrcoef(a, b)[0, 1])


@dataclass(frozen=True)
class Tuning:
    """Of frames that should sound; see the columns. Parts are NaN where there is nothing."""

    frames: int
    sound: float
    in_tune: float
    in_tune_of_sound: float
    octave: float
    cents: float

    @classmethod
    def of(cls, off: Array) -> "Tuning":
        """Of what `cents_off` gives, of one source or of several together."""
        sound = np.abs(off[~np.isnan(off)])
        in_tune = sound <= IN_TUNE_CENTS
        octaves = np.rint(sound / OCTAVE_CENTS)
        is_octave = (octaves > 0) & (np.abs(sound - OCTAVE_CENTS * octaves) <= IN_TUNE_CENTS)
        return cls(
            frames=len(off),
            sound=_part(len(sound), len(off)),
            in_tune=_part(in_tune.sum(), len(off)),
            in_tune_of_sound=_part(in_tune.sum(), len(sound)),
            octave=_part(is_octave.sum(), len(sound)),
            cents=float(np.median(sound)) if len(sound) else NONE,
        )

    def row(self, name: str, asked: float, recording: float, clean: float, own: float) -> str:
        return (
            f"{name:{NAMES}} {self.frames:>7,} {self.sound:>7.1%} {self.in_tune:>8.1%} "
            f"{self.in_tune_of_sound:>9.1%} {self.octave:>7.1%} {self.cents:>6.1f} "
            f"{_number(asked)} {_number(recording, 10)} {_number(clean, 6, 1)} {_number(own, 6, 1)}"
        )


def _part(some: int, of: int) -> float:
    return float(some / of) if of else NONE


def _number(value: float, width: int = 7, digits: int = 3) -> str:
    """A number, or a dash where there is none."""
    return f"{'-':>{width}}" if np.isnan(value) else f"{value:>{width}.{digits}f}"


# --- playing --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Played:
    """A source, what was asked of the model, and what it played."""

    path: Path
    wav: Wav
    recording: Wav | None
    asked: Array  # pitch, (frames, 2)
    found: Array
    figures: tuple[float, float, float, float]  # the last columns

    @property
    def off(self) -> Array:
        return cents_off(self.asked, self.found)

    @property
    def row(self) -> str:
        name = self.path.name[-NAMES:]
        return Tuning.of(self.off).row(name, *self.figures)


def play(model: Model, path: Path, seed: int, label: str | None) -> Played:
    """Play a source and measure what comes. Raises WavenetError."""
    conditions = sources.from_file(path, model, How())
    labels = () if label is None else (label,)
    sampler = Sampler(model, seed=seed, labels=labels, conditions=[conditions])
    (wav,) = sampler.collect([conditions.samples])
    levelled = wav * np.float32(conditions.gain)
    heights = _loudness(levelled, model)
    asked, beside = conditions.values.get("loudness"), recording_of(path)
    recording = None if beside is None else _at_level(beside, model)
    found = _pitch(levelled, model)
    figures = (
        NONE if asked is None else correlation(asked, heights),
        NONE if recording is None else correlation(_loudness(recording, model), heights),
        _clean(levelled, found, model),
        NONE if recording is None else _clean(recording, _pitch(recording, model), model),
    )
    return Played(path, wav, recording, conditions.values["pitch"], found, figures)


def _pitch(wav: Wav, model: Model) -> Array:
    m = model.config.model
    return pitch.track(wav, model.sample_rate, m.frame_hop, m.pitch_low_hz, m.pitch_high_hz)


def _clean(wav: Wav, found: Array, model: Model) -> float:
    ratios = harmonics_to_noise(wav, model.sample_rate, found, model.config.model.frame_hop)
    return float(np.median(ratios)) if len(ratios) else NONE


def _loudness(wav: Wav, model: Model) -> Array:
    m = model.config.model
    return loudness.frames_of(wav, model.sample_rate, m.frame_window, m.frame_hop)


def recording_of(path: Path) -> Path | None:
    """A source that is a recording, or of a score the one of its name beside it; None without."""
    if not sources.is_score(path):
        return path
    beside = sorted(p for p in path.parent.iterdir() if p.stem == path.stem)
    return next((p for p in beside if p.suffix.lower() in AUDIO_SUFFIXES), None)


def _at_level(path: Path, model: Model) -> Wav:
    """A recording at the model's rate and level. Raises AudioError."""
    audio = model.config.audio
    recording = open_audio(path, audio.sample_rate, str(path), to_peak=audio.level == "peak")
    level = recording.measure(audio.trim_db)
    if not (level.finite and level.samples):
        raise AudioError(path, "holds no samples, or NaN or infinite ones", "repair it first")
    gain = levels.gain_for(level.peak, audio.level, audio.peak_db)
    return np.concatenate(list(recording.blocks())) * np.float32(gain)


def write(played: Played, model: Model, seed: int, path: Path) -> None:
    """Write what was played, with metadata that say so. Raises OutputError and AudioError."""
    tags = synthetic_tags(model.name, model, seed, made_from=followed(model.config.model))
    with writing.writer(path, model.sample_rate, tags) as file:
        file.write(played.wav)


def draw(path: Path, results: Sequence[Played], model: Model) -> None:
    """Each source and what was played of it, with the pitch asked and found. Raises OutputError."""
    clips: dict[str, Clip] = {}
    curves: dict[str, dict[str, Array]] = {}
    for number, each in enumerate(results, 1):
        named = f"{number}: {each.path.name}" if len(results) > 1 else each.path.name
        asked = {ASKED: each.asked}
        if each.recording is not None:
            clips[named] = Clip.recording(each.recording)
            curves[named] = asked
        clips[f"{named}, played"] = Clip(each.wav)
        curves[f"{named}, played"] = asked | {FOUND: each.found}
    pitches(path, clips, model.sample_rate, curves, model.config.model.frame_hop)


def study(options: argparse.Namespace) -> None:
    """Play all sources and print the table. Raises WavenetError."""
    model = load(options.run)
    if "pitch" not in model.config.model.conditioning:
        follows = followed(model.config.model) or "nothing along a recording"
        raise EngineError(options.run, f"follows {follows}", "name a run that follows pitch")
    if options.keep:
        require_new(options.keep)
        options.keep.mkdir(parents=True, exist_ok=True)
    print(f"{machine()}; {model.name}, step {model.training.step}, seed {options.seed}")
    print(HEADING)
    results = []
    for number, path in enumerate(options.sources, 1):
        results.append(play(model, path, options.seed, options.label))
        print(results[-1].row, flush=True)
        if options.keep:
            name = f"{number:02}-{path.stem}.wav"
            write(results[-1], model, options.seed, options.keep / name)
    means = [
        float(np.nanmean(found)) if not np.isnan(found).all() else NONE
        for found in np.array([each.figures for each in results]).T
    ]
    print(Tuning.of(np.concatenate([r.off for r in results])).row("all", *means))
    if options.picture:
        draw(options.picture, results, model)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("run", metavar="RUN", help="a trained model that follows pitch")
    arguments.add_argument("sources", type=Path, nargs="+", metavar="SOURCE")
    arguments.add_argument("--label", help="voice, for a model that knows some")
    arguments.add_argument("--seed", type=int, default=1, help="of each result [1]")
    arguments.add_argument("--keep", type=Path, metavar="FOLDER", help="where results are kept")
    arguments.add_argument(
        "--picture", type=Path, metavar="FILE", help="spectrograms with the pitch asked and found"
    )
    try:
        study(arguments.parse_args())
    except WavenetError as e:
        sys.exit(str(e))


if __name__ == "__main__":
    main()
