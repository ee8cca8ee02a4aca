"""Who speaks? A judge of clips made with a label, which knows nothing of the network.

    python -m benchmarks.studies.voices REAL
    python -m benchmarks.studies.voices REAL --clips FOLDER
    python -m benchmarks.studies.voices REAL --make RUN [--count 100] [--seconds 2] [--seed 1]
                                     [--clips FOLDER]

The first says how far the judge can be trusted. The second says also which speaker it recognises in
FOLDER/<label>/*.wav, and whether that is the one that was asked for. The third makes the clips
first.

REAL holds a folder of recordings for every speaker, such as the Free Spoken Digit Dataset sorted by
speaker. The last number in a file's name is its take, and the first quarter of the takes is held
back: the judge's own accuracy is measured on it.

A clip becomes frames of 32 ms at 8 kHz, 40 mel bands in dB. Frames 40 dB below the loudest are
dropped and the power of the others is brought to an average of 1, so that neither level nor pauses
nor length count. Mean and standard deviation over time of the bands and of MFCCs 1 to 19 are what
is classified, by logistic regression. It learns from each recording as it is, through 8 bits of
mu-law and in white noise, alone and in strings of four, because a network's clips are longer and
noisier than one spoken digit.

Logistic regression was chosen by cross-validation within the training part of the digits (five
folds of takes): like a support vector machine (RBF, C = 10) it is right in 99.8 % of the recordings
as they are; of strings in noise 10 dB below them, more than it learned from, it recognises 100 %,
the other 98.1 %. It has no class for what is no voice at all, so it gives hiss to somebody; only a
clip without sound counts as nobody's.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import librosa
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.arguments import require_new
from benchmarks.studies import judges
from benchmarks.studies.judges import NOBODY, RATE, accuracy_line, by_label, in_noise, mu_law, read
from wavenet.glossary import Array, Wav

MFCCS = 20
STRING = 4  # recordings to a string


# --- what is classified ---------------------------------------------------------------------------


def frames(wav: Wav) -> Array:
    """Log-mel frames of what sounds: (frames, BANDS), in dB relative to their average power.

    Silence has no frames.
    """
    mel, loud = judges.log_mel(wav)
    return mel[loud]


def features(mel: Array) -> Array:
    """Mean and standard deviation over time of frames and of their MFCCs without the 0th."""
    columns = np.hstack([mel, librosa.feature.mfcc(S=mel.T, n_mfcc=MFCCS)[1:].T])
    return np.concatenate([columns.mean(axis=0), columns.std(axis=0)])


class Real:
    """Some of the real recordings: a list of wavs per speaker."""

    def __init__(self, wavs: dict[str, list[Wav]]) -> None:
        self.speakers = sorted(wavs)
        self.wavs = wavs

    def changed(self, change: Callable[[Wav], Wav]) -> "Real":
        return Real({s: [change(wav) for wav in self.wavs[s]] for s in self.speakers})

    def examples(self, rng: np.random.Generator | None = None) -> tuple[list[Array], list[str]]:
        """Features and speaker of every recording; with `rng`, of strings that share none."""
        inputs: list[Array] = []
        speakers: list[str] = []
        for speaker in self.speakers:
            mels = [mel for mel in map(frames, self.wavs[speaker]) if len(mel)]
            if rng is not None:
                order = rng.permutation(len(mels))
                mels = [
                    np.concatenate([mels[i] for i in order[at : at + STRING]])
                    for at in range(0, len(order), STRING)
                ]
            inputs += [features(mel) for mel in mels]
            speakers += [speaker] * len(mels)
        return inputs, speakers


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
            # A string holds several recordings: this way there are as many strings as recordings.
            strings = [version.examples(rng) for _ in range(STRING)]
            for x, who in (version.examples(), *strings):
                inputs += x
                speakers += who
        self.model = make_pipeline(
            StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000)
        )
        self.model.fit(np.stack(inputs), speakers)

    def speaker(self, wav: Wav) -> str:
        mel = frames(wav)
        return str(self.model.predict(features(mel)[None])[0]) if len(mel) else NOBODY

    def right(self, examples: tuple[list[Array], list[str]]) -> tuple[int, int]:
        """The number of examples that are recognised, and of all of them."""
        x, who = examples
        return int((self.model.predict(np.stack(x)) == np.array(who)).sum()), len(who)


# --- recordings and clips -------------------------------------------------------------------------


def split(folder: Path) -> tuple[Real, Real]:
    """Real recordings to learn from, and those held back."""
    training, held_back = (
        Real({speaker: [read(path) for path in paths] for speaker, paths in part.items()})
        for part in judges.split(folder)
    )
    return training, held_back


def make(options: argparse.Namespace, speakers: Sequence[str], folder: Path) -> None:
    """Generate clips of every speaker as FOLDER/<label>/clip-1.wav and on.

    Each speaker has a seed of its own.
    """
    count = max(1, options.count // len(speakers))
    require_new(folder, judges.INSTEAD)
    for i, label in enumerate(speakers):
        (folder / label).mkdir(parents=True)
        command = [sys.executable, "-m", "wavenet", "generate", options.make]
        command += ["--label", label, "--count", count, "--seconds", options.seconds]
        command += ["--seed", options.seed + i, "-o", folder / label / "clip.wav"]
        result = subprocess.run([str(word) for word in command], stdout=subprocess.DEVNULL)
        if result.returncode:
            sys.exit(result.returncode)


def confusion(wavs: dict[str, list[Wav]], judge: Judge, speakers: Sequence[str]) -> tuple[int, int]:
    """Print the speakers recognised (columns) in the clips of each label (rows).

    Returns the number of clips that are recognised, and that of all.
    """
    recognised = {label: [judge.speaker(wav) for wav in some] for label, some in wavs.items()}
    return judges.confusion("heard:", recognised, speakers)


def judge_clips(folder: Path, judge: Judge, speakers: Sequence[str]) -> None:
    clips = by_label(folder)
    judges.require_known(folder, "speaker", clips, speakers)
    wavs = {label: [read(path) for path in paths] for label, paths in clips.items()}
    seconds = [len(wav) / RATE for some in wavs.values() for wav in some]
    print(
        f"\nclips, {len(seconds)} of {min(seconds):.1f} to {max(seconds):.1f} s; "
        "rows: the label asked for"
    )
    right, total = confusion(wavs, judge, speakers)
    print(accuracy_line(f"recognised (by chance {100 / len(speakers):.0f} %)", right, total))


def main() -> None:
    options = parse()
    training, held_back = split(options.real)
    judge = Judge(training)
    speakers = training.speakers
    count = sum(map(len, training.wavs.values()))
    print(f"the judge learned from {count} recordings of {len(speakers)} speakers")
    print("\nreal recordings held back; rows: who speaks")
    print(accuracy_line("as they are", *confusion(held_back.wavs, judge, speakers)))
    rng = np.random.default_rng(1)
    quantised = held_back.changed(mu_law)
    print(accuracy_line("through 8 bits of mu-law", *judge.right(quantised.examples())))
    noisy = held_back.changed(lambda wav: in_noise(wav, 20, rng))
    print(accuracy_line("in white noise 20 dB below", *judge.right(noisy.examples())))
    print(accuracy_line(f"in strings of {STRING}", *judge.right(held_back.examples(rng))))
    with tempfile.TemporaryDirectory() as place:
        folder = options.clips or Path(place, "clips")
        if options.make:
            make(options, speakers, folder)
        if options.make or options.clips:
            judge_clips(folder, judge, speakers)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Who speaks? A judge of clips made with a label, which knows nothing of the "
        "network: does it hear the voice that was asked for?"
    )
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
