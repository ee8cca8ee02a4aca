"""What temperature, top-p and averaged weights do to generated audio: the table in docs/learning.md.

    python benchmarks/sampling.py RUN_OR_CHECKPOINT FOLDER [--clips 10] [--seconds 10]

The model goes on after the first second of FOLDER's first recordings, a clip each, and what it makes is compared with what all of them
hold. DNSMOS (Reddy et al. 2022) is for speech and needs the extra `dnsmos`. A bundled model has its averaged weights alone; a run has both.
"""

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import librosa
import numpy as np
import soundfile as sf

from wavenet.arrays import Array, Wav
from wavenet.audio.quantization import as_wav
from wavenet.data.pcm_cache import index_folder
from wavenet.errors import CheckpointError
from wavenet.generation.prompt import read_prompt
from wavenet.generation.sampler import Sampler
from wavenet.model import checkpoint, locate
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.distributions.base import Sampling
from wavenet.system.machine import machine

SETTINGS = {
    "temperature 1": Sampling(),
    "temperature 1.1": Sampling(1.1),
    "temperature 1.05": Sampling(1.05),
    "temperature 0.98": Sampling(0.98),
    "temperature 0.95": Sampling(0.95),
    "temperature 0.9": Sampling(0.9),
    "temperature 0.8": Sampling(0.8),
    "top-p 0.99": Sampling(top_p=0.99),
    "top-p 0.95": Sampling(top_p=0.95),
    "top-p 0.9": Sampling(top_p=0.9),
}
FRAME_SECONDS = 0.02
BANDS = 40
CLIPPED = 0.99  # of full scale
QUIET_DB = 40.0  # below the loudest frame of the recordings counts as silence


@dataclass(frozen=True)
class Measures:
    """Of some clips, beside recordings."""

    spectrum_db: float  # root mean square difference of the mean log spectra, over mel bands
    frechet: float  # distance of the distributions of log-mel frames, as Gaussians, in dB
    silent: float  # share of frames
    clipped: float  # share of samples
    level_db: float  # of the loudest tenth of frames, against the recordings'
    dnsmos: float  # overall quality, 1 to 5; NaN without the package

    def row(self, name: str) -> str:
        return (
            f"{name:26} {self.spectrum_db:>9.1f} {self.frechet:>8.1f} {self.silent:>8.0%} {self.clipped:>9.2%} {self.level_db:>+8.1f}"
            f" {self.dnsmos:>7.2f}"
        )


HEADING = f"{'':26} {'spectrum':>9} {'Fréchet':>8} {'silent':>8} {'clipped':>9} {'level':>8} {'DNSMOS':>7}"


def frames(clips: list[Wav], rate: int) -> Array:
    """Log-mel power in dB, (frames, bands)."""
    hop = round(FRAME_SECONDS * rate)
    mels = [
        librosa.feature.melspectrogram(
            y=c, sr=rate, n_fft=2 * hop, hop_length=hop, n_mels=BANDS, fmin=50
        )
        for c in clips
    ]
    return 10 * np.log10(np.concatenate(mels, 1).T + 1e-7)


def frechet(a: Array, b: Array) -> float:
    """Between the Gaussians that fit two sets of frames, a square root, so in dB."""
    va, vb = np.cov(a.T), np.cov(b.T)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(va @ vb).real, 0)).sum()
    return float(
        np.sqrt(
            max(0.0, ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(va) + np.trace(vb) - 2 * roots)
        )
    )


def measure(clips: list[Wav], recordings: list[Wav], rate: int) -> Measures:
    made, real = frames(clips, rate), frames(recordings, rate)
    loud, loudest = made.max(1), np.percentile(real.max(1), 99)
    level = np.percentile(loud, 90) - np.percentile(real.max(1), 90)
    apart = float(np.sqrt(((made.mean(0) - real.mean(0)) ** 2).mean()))
    clipped = float(np.mean([np.mean(np.abs(c) >= CLIPPED) for c in clips]))
    return Measures(
        apart,
        frechet(made, real),
        float((loud < loudest - QUIET_DB).mean()),
        clipped,
        float(level),
        dnsmos(clips, rate),
    )


def dnsmos(clips: list[Wav], rate: int) -> float:
    try:
        from speechmos import dnsmos as package
    except ImportError:
        return float("nan")
    at_16k = [librosa.resample(c, orig_sr=rate, target_sr=16000).clip(-1, 1) for c in clips]
    return float(np.mean([package.run(c, 16000)["ovrl_mos"] for c in at_16k]))


def continuations(
    model: Checkpoint, prompts: list[Path], seconds: float, sampling: Sampling
) -> list[Wav]:
    samples = round(seconds * model.config.audio.sample_rate)
    made = []
    for i, path in enumerate(prompts):
        sampler = Sampler(model, seed=i, sampling=sampling, prompt=read_prompt(path, model))
        made.append(np.concatenate([b[0] for b in sampler.blocks(samples)]))
    return made


def whole(path: Path) -> Checkpoint:
    """With the unaveraged weights, unless it is one of those that keep the averaged alone."""
    try:
        return checkpoint.load(path, resume=True)
    except CheckpointError:
        return checkpoint.load(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    path = locate.find(options.model)
    model = whole(path)
    config, rate = model.config, model.config.audio.sample_rate
    index = index_folder(options.folder, config.audio, trim=config.trims)
    pcm = index.pcm()
    recordings = [np.array(as_wav(pcm[r.offset : r.offset + r.samples])) for r in index.recordings]
    print(
        f"{machine()}; step {model.training.step}, {options.clips} clips of {options.seconds:g} s, {options.folder.name}"
    )
    print(HEADING)
    half = len(recordings) // 2
    print(
        measure(recordings[:half], recordings[half:], rate).row("half the recordings"), flush=True
    )
    with tempfile.TemporaryDirectory() as place:
        prompts = [Path(place) / f"{i}.wav" for i in range(options.clips)]
        for i, path in enumerate(prompts):
            sf.write(path, recordings[i % len(recordings)][:rate], rate)
        raw = replace(model, arrays={f"average.{k}": v for k, v in model.part("model").items()})
        for name, sampling in SETTINGS.items():
            if not options.only or name in options.only:
                clips = continuations(model, prompts, options.seconds, sampling)
                print(measure(clips, recordings, rate).row(name), flush=True)
        if raw.arrays and not options.only:
            clips = continuations(raw, prompts, options.seconds, Sampling())
            print(measure(clips, recordings, rate).row("the last, unaveraged weights"), flush=True)


if __name__ == "__main__":
    main()
