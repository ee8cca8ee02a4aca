"""How often mel frames of each scale are refused, by a model of the same recordings and by others.

    python -m benchmarks.studies.mel_scales FOLDER...

Recordings are brought to 22050 Hz, cut after 15 s and become 80 bands as `vocoder-small` has them:
whole and half a second of each, from 30 dB quieter to 10 dB louder. Column "own": against the
statistics of each folder's own recordings; "unknown": by a model that says nothing of what it was
trained on. Right frames have to be refused never.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path

import librosa
import numpy as np
import soundfile as sf
from scipy.ndimage import uniform_filter

from benchmarks.arguments import parser
from wavenet.audio import mel
from wavenet.audio.mel_scales import MelStatistics, recognise, statistics
from wavenet.config import ModelConfig
from wavenet.glossary import Array

RATE, SECONDS, SHORT = 22050, 15, 43
GAINS = (-30, -20, -10, 0, 10)  # dB
MODEL = ModelConfig(mel_bands=80)
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")

# Of mel magnitudes and mel powers.
Scaled = Callable[[Array, Array], Array]


def ln(magnitudes: Array, floor: float = 1e-5) -> Array:
    logs: Array = np.log(np.maximum(magnitudes, floor))
    return logs


def zero_to_one(magnitudes: Array) -> Array:
    return np.clip((20 * np.log10(np.maximum(magnitudes, 1e-5)) + 80) / 100, 0, 1)


def normalised(logs: Array) -> Array:
    scaled: Array = (logs - logs.mean(0)) / np.maximum(logs.std(0), 1e-5)
    return scaled


def smoothed(logs: Array, frames: int, bands: int) -> Array:
    smooth: Array = uniform_filter(logs, (frames, bands), mode="nearest")
    return smooth


RIGHT: dict[str, Scaled] = {
    "ln": lambda m, p: ln(m),
    "ln, floor 1e-10": lambda m, p: ln(m, 1e-10),
    "ln, floor 1e-3": lambda m, p: ln(m, 1e-3),
    "ln, floor 1e-2": lambda m, p: ln(m, 1e-2),
    "ln, smoothed 5 x 3": lambda m, p: smoothed(ln(m), 5, 3),
    "ln, smoothed 9 x 5": lambda m, p: smoothed(ln(m), 9, 5),
}
OTHERS: dict[str, Scaled] = {
    "db": lambda m, p: 20 / np.log(10) * ln(m),
    "db-power": lambda m, p: 10 / np.log(10) * ln(p, 1e-10),
    "linear": lambda m, p: m,
    "log1p": lambda m, p: np.log1p(m),
    "power": lambda m, p: p,
    "0 ... 1": lambda m, p: zero_to_one(m),
    "-4 ... 4": lambda m, p: 8 * zero_to_one(m) - 4,
    "normalised": lambda m, p: normalised(ln(m)),
    "log10, floor 1e-5": lambda m, p: ln(m) / np.log(10),
    "log10, floor 1e-10": lambda m, p: ln(m, 1e-10) / np.log(10),
    "log10, smoothed 5 x 3": lambda m, p: smoothed(ln(m), 5, 3) / np.log(10),
    "ln-power": lambda m, p: ln(p, 1e-10),
    "log10-power": lambda m, p: ln(p, 1e-10) / np.log(10),
}


def bands(path: Path) -> tuple[Array, Array]:
    """Mel magnitudes and mel powers of a recording, (n, 80)."""
    wav, rate = sf.read(path, dtype="float32", always_2d=True)
    wav = librosa.resample(wav.mean(axis=1), orig_sr=rate, target_sr=RATE)[: SECONDS * RATE]
    window, hop = MODEL.frame_window, MODEL.frame_hop
    spectrum = np.abs(librosa.stft(wav, n_fft=window, hop_length=hop, pad_mode="constant"))
    weights = mel.filters(RATE, MODEL)
    return (weights @ spectrum).T, (weights @ spectrum**2).T


def excerpts(recordings: list[tuple[Array, Array]]) -> Iterator[tuple[Array, Array]]:
    rng = np.random.default_rng(0)
    for magnitudes, powers in recordings:
        start = int(rng.integers(max(1, len(magnitudes) - SHORT)))
        for part in (slice(None), slice(start, start + SHORT)):
            for gain in 10 ** (np.array(GAINS) / 20):
                yield magnitudes[part] * gain, powers[part] * gain**2


def own_statistics(recordings: list[tuple[Array, Array]]) -> MelStatistics:
    each = [statistics(ln(magnitudes)) for magnitudes, _ in recordings]
    found = np.array([astuple(one) for one in each if one is not None])
    return MelStatistics(*(float(value) for value in np.median(found, axis=0)))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("folders", nargs="+", type=Path)
    folders = arguments.parse_args().folders
    refused, seen = Counter[tuple[str, str]](), 0
    for folder in folders:
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        # Of less than half a second, too little is known.
        recordings = [r for r in map(bands, paths) if len(r[0]) >= SHORT]
        models = {"own": own_statistics(recordings), "unknown": None}
        for magnitudes, powers in excerpts(recordings):
            seen += 1
            for name, scaled in (RIGHT | OTHERS).items():
                frames = scaled(magnitudes, powers).astype(np.float32)
                for model, trained in models.items():
                    refused[name, model] += recognise(frames, trained) is not None
    print(f"refused of {seen:,} excerpts, %")
    print(f"{'frames':<22} {'own':>8} {'unknown':>8}")
    for name in RIGHT | OTHERS:
        own, unknown = (100 * refused[name, model] / seen for model in ("own", "unknown"))
        print(f"{name:<22} {own:>8.1f} {unknown:>8.1f}")


if __name__ == "__main__":
    main()
