"""What the judges of clips have in common: recordings, their frames, and figures of how many.

`voices.py` asks who speaks, and `words.py` what is said.
"""

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import librosa
import numpy as np

from wavenet.glossary import Array, Wav

RATE = 8000  # Hz
FRAME, HOP, BANDS = 256, 80, 40
DROPPED_DB = 40.0  # frames this far below the loudest
SILENCE_DBFS = -70.0  # clips that nowhere exceed this are silent
SUFFIXES = {".wav", ".flac", ".ogg", ".mp3"}
HELD_BACK = 0.25  # of the takes
NOBODY = "none"
INSTEAD = "leave --make out to judge the clips in it, or name a new folder"
# Of printed tables, in columns.
TABLE, NAMES, WIDEST = 100, 16, 12


# --- recordings and clips -------------------------------------------------------------------------


def read(path: Path) -> Wav:
    """A recording (time,) at RATE."""
    return np.asarray(librosa.load(path, sr=RATE)[0], np.float32)


def by_label(folder: Path) -> dict[str, list[Path]]:
    """The audio files in each subfolder."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() in SUFFIXES:
            files.setdefault(path.parent.name, []).append(path)
    if not files:
        sys.exit(f"{folder}: holds no folders of recordings, one for every speaker")
    return files


def take(path: Path) -> int:
    """The last number in a file's name."""
    numbers: list[str] = re.findall(r"\d+", path.stem)
    if not numbers:
        sys.exit(f"{path}: its name holds no number of a take")
    return int(numbers[-1])


def split(folder: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Each speaker's recordings to learn from, and those of the first HELD_BACK of the takes."""
    training: dict[str, list[Path]] = {}
    held_back: dict[str, list[Path]] = {}
    for speaker, paths in by_label(folder).items():
        takes = sorted({take(path) for path in paths})
        first = set(takes[: math.ceil(HELD_BACK * len(takes))])
        training[speaker] = [path for path in paths if take(path) not in first]
        held_back[speaker] = [path for path in paths if take(path) in first]
        if not training[speaker]:
            sys.exit(
                f"{folder / speaker}: holds one take only; there must be several, to hold some back"
            )
    if len(training) < 2:
        sys.exit(f"{folder}: holds one speaker only; there must be several, to tell apart")
    return training, held_back


def require_known(folder: Path, kind: str, labels: Iterable[str], known: Sequence[str]) -> None:
    """End the script if clips are of what no judge has learned from real recordings."""
    if unknown := sorted({*labels} - {*known}):
        what = f"there are no real recordings of {unknown[0]}"
        sys.exit(f"{folder}: {what}; the judge knows the {kind}s {', '.join(known)}")


# --- frames ---------------------------------------------------------------------------------------


def log_mel(wav: Wav) -> tuple[Array, Array]:
    """Log-mel frames (frames, BANDS), in dB, and which of them are loud (frames,).

    Those are less than DROPPED_DB below the loudest, and 0 dB is their average power. Silence has
    no frames.
    """
    wav = wav - wav.mean() if len(wav) else wav
    if len(wav) < FRAME or np.abs(wav).max() < 10 ** (SILENCE_DBFS / 20):
        return np.zeros((0, BANDS)), np.zeros(0, bool)
    power = librosa.feature.melspectrogram(
        y=wav, sr=RATE, n_fft=FRAME, hop_length=HOP, n_mels=BANDS, center=False
    ).T
    total = power.sum(axis=1)
    loud = total > total.max() * 10 ** (-DROPPED_DB / 10)
    db = librosa.power_to_db(power / total[loud].mean(), amin=1e-6, top_db=None)
    return np.asarray(db), loud


def mu_law(wav: Wav) -> Wav:
    """A recording quantised as for a network of 256 levels."""
    codes = librosa.mu_compress(wav.clip(-1, 1), mu=255)
    return np.asarray(librosa.mu_expand(codes, mu=255), np.float32)


def in_noise(wav: Wav, db: float, rng: np.random.Generator) -> Wav:
    """A recording in white noise `db` below it."""
    noise = rng.standard_normal(len(wav)) * np.sqrt(np.mean(wav**2)) * 10 ** (-db / 20)
    return np.asarray(wav + noise, np.float32)


# --- figures --------------------------------------------------------------------------------------


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927)."""
    z, p = 1.959964, right / total
    middle = p + z * z / (2 * total)
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return (middle - half) / (1 + z * z / total), (middle + half) / (1 + z * z / total)


def accuracy_line(what: str, right: int, total: int) -> str:
    """A proportion in percent with its interval."""
    low, high = wilson(right, total)
    return (
        f"{what:44} {right:>4} of {total:>4}  {100 * right / total:5.1f} %   "
        f"95 %: {100 * low:.1f} to {100 * high:.1f}"
    )


def confusion(
    corner: str, recognised: Mapping[str, Sequence[str]], known: Sequence[str]
) -> tuple[int, int]:
    """Print how often each label (rows) was taken for each that is known (columns), or NOBODY.

    Returns the number of clips that are recognised, and that of all.
    """
    columns = (*known, NOBODY)
    least = max(len(label) + 2 for label in known)
    width = max(least, min(WIDEST, (TABLE - NAMES) // len(columns)))
    print(f"{corner:{NAMES}}" + "".join(f"{label:>{width}}" for label in columns))
    right = 0
    for label in sorted(recognised):
        counts = [recognised[label].count(column) for column in columns]
        print(f"{label:{NAMES}}" + "".join(f"{count:>{width}}" for count in counts))
        right += recognised[label].count(label)
    return right, sum(map(len, recognised.values()))
