"""Who speaks? A judge of clips made with a label, which knows nothing of the network: does it hear the voice that was asked for?

    python benchmarks/voices.py REAL                            how far the judge can be trusted
    python benchmarks/voices.py REAL --clips FOLDER             and whom it hears in FOLDER/<label>/*.wav
    python benchmarks/voices.py REAL --make RUN [--count 100] [--seconds 2] [--seed 1] [--clips FOLDER]      makes the clips first

REAL holds a folder of recordings for every speaker, such as the Free Spoken Digit Dataset sorted by speaker; the last number in a
file's name is its take, and the first quarter of the takes is held back: the judge's own accuracy is measured on it.

A clip becomes frames of 32 ms at 8 kHz, 40 mel bands in dB. Frames 40 dB below the loudest are dropped and the power of the others is
brought to an average of 1, so that neither level nor pauses nor length count. Mean and standard deviation over time of the bands and
of MFCCs 1 to 19 are what is classified, by logistic regression. It learns from each recording as it is, through 8 bits of mu-law and
in white noise, alone and in strings of four, because a network's clips are longer and noisier than one spoken digit.

Logistic regression was chosen by cross-validation within the training part of the digits (five folds of takes): like a support vector
machine (RBF, C = 10) it is right in 99.8 % of the recordings as they are; of strings in noise 10 dB below them, more than it learned
from, it knows 100 %, the other 98.1 %. It knows no way to say that it hears no voice at all, so hiss is given to somebody; only a clip
without sound counts as heard from nobody.
"""

import argparse
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import librosa
import numpy as np
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

from wavenet.arrays import Array, Wav

RATE = 8000  # Hz
FRAME, HOP, BANDS, MFCCS = 256, 80, 40, 20
DROPPED_DB = 40.0  # frames this far below the loudest
SILENCE_DBFS = -70.0  # clips that nowhere exceed this are silent
SUFFIXES = {".wav", ".flac", ".ogg", ".mp3"}
HELD_BACK = 0.25  # of the takes
STRING = 4  # recordings to a string
NOBODY = "none"


# --- what is classified ------------------------------------------------------------------------------------------------


def frames(wav: Wav) -> Array:
    """Log-mel frames of what sounds: (frames, BANDS), in dB relative to their average power. None for silence."""
    wav = wav - wav.mean() if len(wav) else wav
    if len(wav) < FRAME or np.abs(wav).max() < 10 ** (SILENCE_DBFS / 20):
        return np.zeros((0, BANDS))
    power = librosa.feature.melspectrogram(
        y=wav, sr=RATE, n_fft=FRAME, hop_length=HOP, n_mels=BANDS, center=False
    ).T
    total = power.sum(axis=1)
    kept = total > total.max() * 10 ** (-DROPPED_DB / 10)
    return np.asarray(librosa.power_to_db(power[kept] / total[kept].mean(), amin=1e-6, top_db=None))


def features(mel: Array) -> Array:
    """Mean and standard deviation over time of frames and of their MFCCs without the 0th."""
    columns = np.hstack([mel, librosa.feature.mfcc(S=mel.T, n_mfcc=MFCCS)[1:].T])
    return np.concatenate([columns.mean(axis=0), columns.std(axis=0)])


def mu_law(wav: Wav) -> Wav:
    """As a network of 256 levels hears a recording."""
    return np.asarray(
        librosa.mu_expand(librosa.mu_compress(wav.clip(-1, 1), mu=255), mu=255), np.float32
    )


def in_noise(wav: Wav, db: float, rng: np.random.Generator) -> Wav:
    """A recording in white noise `db` below it."""
    noise = rng.standard_normal(len(wav)) * np.sqrt(np.mean(wav**2)) * 10 ** (-db / 20)
    return np.asarray(wav + noise, np.float32)


class Real:
    """Some of the real recordings: a list of wavs per speaker."""

    def __init__(self, wavs: dict[str, list[Wav]]) -> None:
        self.speakers = sorted(wavs)
        self.wavs = wavs

    def changed(self, change: Callable[[Wav], Wav]) -> "Real":
        return Real({s: [change(wav) for wav in self.wavs[s]] for s in self.speakers})

    def examples(self, rng: np.random.Generator | None = None) -> tuple[list[Array], list[str]]:
        """Features and speaker of every recording; with `rng`, of strings that share none."""
        found: list[tuple[Array, str]] = []
        for speaker in self.speakers:
            mels = [mel for mel in map(frames, self.wavs[speaker]) if len(mel)]
            if rng is not None:
                order = rng.permutation(len(mels))
                mels = [
                    np.concatenate([mels[i] for i in order[at : at + STRING]])
                    for at in range(0, len(order), STRING)
                ]
            found += [(features(mel), speaker) for mel in mels]
        return [x for x, _ in found], [speaker for _, speaker in found]


class Judge:
    """Says who speaks."""

    def __init__(self, real: Real) -> None:
        rng = np.random.default_rng(0)
        inputs: list[Array] = []
        speakers: list[str] = []
        for version in (
            real,
            real.changed(mu_law),
            real.changed(lambda wav: in_noise(wav, rng.uniform(10, 40), rng)),
        ):
            for x, who in (
                version.examples(),
                *(version.examples(rng) for _ in range(STRING)),
            ):  # as many strings as recordings
                inputs += x
                speakers += who
        self.model = make_pipeline(
            StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000)
        )
        self.model.fit(np.stack(inputs), speakers)

    def hears(self, wav: Wav) -> str:
        mel = frames(wav)
        return str(self.model.predict(features(mel)[None])[0]) if len(mel) else NOBODY

    def right(self, examples: tuple[list[Array], list[str]]) -> tuple[int, int]:
        """How many of some examples are recognised, and how many there are."""
        x, who = examples
        return int((self.model.predict(np.stack(x)) == np.array(who)).sum()), len(who)


# --- figures -----------------------------------------------------------------------------------------------------------


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z, share = 1.959964, right / total
    middle = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return (middle - half) / (1 + z * z / total), (middle + half) / (1 + z * z / total)


def share(what: str, right: int, total: int) -> str:
    low, high = wilson(right, total)
    return f"{what:44} {right:>4} of {total:>4}  {100 * right / total:5.1f} %   95 %: {100 * low:.1f} to {100 * high:.1f}"


def confusion(wavs: dict[str, list[Wav]], judge: Judge, speakers: Sequence[str]) -> tuple[int, int]:
    """Print whom the judge hears (columns) in the clips of each label (rows). Returns how many it recognises, and of how many."""
    width = max(12, *(len(s) + 2 for s in speakers))
    print(f"{'heard:':16}" + "".join(f"{s:>{width}}" for s in (*speakers, NOBODY)))
    right = 0
    for label in sorted(wavs):
        heard = [judge.hears(wav) for wav in wavs[label]]
        print(f"{label:16}" + "".join(f"{heard.count(s):>{width}}" for s in (*speakers, NOBODY)))
        right += heard.count(label)
    return right, sum(map(len, wavs.values()))


# --- recordings and clips ----------------------------------------------------------------------------------------------


def read(path: Path) -> Wav:
    return np.asarray(librosa.load(path, sr=RATE)[0], np.float32)


def by_label(folder: Path) -> dict[str, list[Path]]:
    """The audio files in each subfolder."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() in SUFFIXES:
            found.setdefault(path.parent.name, []).append(path)
    if not found:
        sys.exit(f"{folder}: holds no folders of recordings, one for every speaker")
    return found


def take(path: Path) -> int:
    numbers: list[str] = re.findall(r"\d+", path.stem)
    return int(numbers[-1]) if numbers else sys.exit(f"{path}: its name holds no number of a take")


def split(folder: Path) -> tuple[Real, Real]:
    """Real recordings to learn from, and those held back."""
    learned: dict[str, list[Wav]] = {}
    held: dict[str, list[Wav]] = {}
    for speaker, paths in by_label(folder).items():
        takes = sorted({take(path) for path in paths})
        first = set(takes[: math.ceil(HELD_BACK * len(takes))])
        learned[speaker] = [read(path) for path in paths if take(path) not in first]
        held[speaker] = [read(path) for path in paths if take(path) in first]
        if not learned[speaker]:
            sys.exit(
                f"{folder / speaker}: holds one take only; there must be several, to hold some back"
            )
    if len(learned) < 2:
        sys.exit(f"{folder}: holds one speaker only; there must be several, to tell apart")
    return Real(learned), Real(held)


def make(options: argparse.Namespace, speakers: Sequence[str], folder: Path) -> None:
    """Generate clips of every speaker as FOLDER/<label>/clip-1.wav and on, each speaker with a seed of its own."""
    count = max(1, options.count // len(speakers))
    if folder.exists() and any(folder.iterdir()):
        sys.exit(
            f"{folder}: is not empty; leave --make out to judge the clips in it, or name a new folder"
        )
    for i, label in enumerate(speakers):
        (folder / label).mkdir(parents=True)
        command = [
            sys.executable,
            "-m",
            "wavenet",
            "generate",
            options.make,
            "--label",
            label,
            "--count",
            count,
        ]
        command += [
            "--seconds",
            options.seconds,
            "--seed",
            options.seed + i,
            "-o",
            folder / label / "clip.wav",
        ]
        result = subprocess.run([str(word) for word in command], stdout=subprocess.DEVNULL)
        if result.returncode:
            sys.exit(result.returncode)


def judge_clips(folder: Path, judge: Judge, speakers: Sequence[str]) -> None:
    clips = by_label(folder)
    unknown = sorted(clips.keys() - set(speakers))
    if unknown:
        sys.exit(
            f"{folder / unknown[0]}: there are no real recordings of {unknown[0]}; the judge knows {', '.join(speakers)}"
        )
    wavs = {label: [read(path) for path in paths] for label, paths in clips.items()}
    seconds = [len(wav) / RATE for some in wavs.values() for wav in some]
    print(
        f"\nclips, {len(seconds)} of {min(seconds):.1f} to {max(seconds):.1f} s; rows: the label asked for"
    )
    right, total = confusion(wavs, judge, speakers)
    print(share(f"recognised (by chance {100 / len(speakers):.0f} %)", right, total))


def main() -> None:
    options = parse()
    learned, held = split(options.real)
    judge = Judge(learned)
    print(
        f"the judge learned from {sum(map(len, learned.wavs.values()))} recordings of {len(learned.speakers)} speakers"
    )
    print("\nreal recordings held back; rows: who speaks")
    print(share("as they are", *confusion(held.wavs, judge, learned.speakers)))
    rng = np.random.default_rng(1)
    print(share("through 8 bits of mu-law", *judge.right(held.changed(mu_law).examples())))
    print(
        share(
            "in white noise 20 dB below",
            *judge.right(held.changed(lambda wav: in_noise(wav, 20, rng)).examples()),
        )
    )
    print(share(f"in strings of {STRING}", *judge.right(held.examples(rng))))
    with tempfile.TemporaryDirectory() as place:
        folder = options.clips or Path(place, "clips")
        if options.make:
            make(options, learned.speakers, folder)
        if options.make or options.clips:
            judge_clips(folder, judge, learned.speakers)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("real", type=Path, help="real recordings: a folder for every speaker")
    parser.add_argument(
        "--clips",
        type=Path,
        help="clips to judge: a folder for every label; with --make, where they go",
    )
    parser.add_argument(
        "--make", type=Path, metavar="RUN", help="a run trained with labels, to make the clips with"
    )
    parser.add_argument(
        "--count", type=int, default=100, help="clips to make, all labels together [100]"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each [2]")
    parser.add_argument("--seed", type=int, default=1, help="of the first label's clips [1]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
