"""What temperature, top-p and the EMA of the weights do to generated audio.

    python -m benchmarks.studies.sampling MODEL FOLDER [--clips 10] [--seconds 10] [--seed 0]

prints the table in docs/learning.md. The model continues the first second of FOLDER's first
recordings, a clip each, with seeds counted from --seed, and what it generates is compared with what
all recordings hold. DNSMOS (Reddy et al. 2022) is for speech and needs the extra `dnsmos`. A
bundled model has the EMA of its weights alone; a run has the weights without averaging, too.
"""

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import librosa
import numpy as np
import soundfile as sf

from wavenet.audio.quantization import from_pcm16
from wavenet.data.pcm_cache import index_folder
from wavenet.errors import CheckpointError
from wavenet.generation.prompt import read_prompt
from wavenet.generation.sampler import Sampler
from wavenet.glossary import Array, Wav
from wavenet.model import checkpoint, locate
from wavenet.model.checkpoint import Model
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
# A frame this far below the loudest of the recordings counts as silent.
QUIET_DB = 40.0


@dataclass(frozen=True)
class Measures:
    """Of some clips, beside recordings.

    `spectrum_db` is the root mean square difference of the mean log spectra, over mel bands;
    `frechet` the distance in dB of the distributions of log-mel frames, as Gaussians; `silent` a
    fraction of the frames; `clipped` a fraction of the samples; `level_db` the level of the loudest
    tenth of frames against the recordings'; `dnsmos` the overall quality from 1 to 5, NaN without
    the package.
    """

    spectrum_db: float
    frechet: float
    silent: float
    clipped: float
    level_db: float
    dnsmos: float

    def row(self, name: str) -> str:
        return (
            f"{name:26} {self.spectrum_db:>9.1f} {self.frechet:>8.1f} {self.silent:>8.0%} "
            f"{self.clipped:>9.2%} {self.level_db:>+8.1f} {self.dnsmos:>7.2f}"
        )


HEADING = (
    f"{'':26} {'spectrum':>9} {'Fréchet':>8} {'silent':>8} {'clipped':>9} {'level':>8} "
    f"{'DNSMOS':>7}"
)


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
    """Of the Gaussians that fit two sets of frames: the distance is a square root, so in dB."""
    va, vb = np.cov(a.T), np.cov(b.T)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(va @ vb).real, 0)).sum()
    means = ((a.mean(0) - b.mean(0)) ** 2).sum()
    squared = means + np.trace(va) + np.trace(vb) - 2 * roots
    return float(np.sqrt(max(0.0, squared)))


def measure(clips: list[Wav], recordings: list[Wav], rate: int) -> Measures:
    generated, real = frames(clips, rate), frames(recordings, rate)
    peaks, real_peaks = generated.max(1), real.max(1)  # (frames,)
    loudest = np.percentile(real_peaks, 99)
    spectra = generated.mean(0) - real.mean(0)  # (bands,)
    return Measures(
        spectrum_db=float(np.sqrt((spectra**2).mean())),
        frechet=frechet(generated, real),
        silent=float((peaks < loudest - QUIET_DB).mean()),
        clipped=float(np.mean([np.mean(np.abs(c) >= CLIPPED) for c in clips])),
        level_db=float(np.percentile(peaks, 90) - np.percentile(real_peaks, 90)),
        dnsmos=dnsmos(clips, rate),
    )


def dnsmos(clips: list[Wav], rate: int) -> float:
    try:
        from speechmos import dnsmos as package
    except ImportError:
        return float("nan")
    at_16k = [librosa.resample(c, orig_sr=rate, target_sr=16000).clip(-1, 1) for c in clips]
    return float(np.mean([package.run(c, 16000)["ovrl_mos"] for c in at_16k]))


def continuations(
    model: Model, prompts: list[Path], seconds: float, first_seed: int, sampling: Sampling
) -> list[Wav]:
    samples = round(seconds * model.config.audio.sample_rate)
    clips = []
    for seed, path in enumerate(prompts, first_seed):
        sampler = Sampler(model, seed=seed, sampling=sampling, prompt=read_prompt(path, model))
        clips.append(np.concatenate([b[0] for b in sampler.blocks(samples)]))
    return clips


def load(path: Path) -> Model:
    """With the weights that are not averaged, unless the checkpoint holds their EMA alone."""
    try:
        return checkpoint.load(path, resume=True)
    except CheckpointError:
        return checkpoint.load(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="What temperature, top-p and averaged weights do to generated audio: "
        "the table in docs/learning.md."
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    path = locate.find(options.model)
    model = load(path)
    config, rate = model.config, model.config.audio.sample_rate
    index = index_folder(options.folder, config.audio, trim=config.trims)
    recordings = [from_pcm16(index.pcm(r)) for r in index.recordings]
    print(
        f"{machine()}; step {model.training.step}, {options.clips} clips of "
        f"{options.seconds:g} s, {options.folder.name}"
    )
    print(HEADING)
    half = len(recordings) // 2
    halves = measure(recordings[:half], recordings[half:], rate)
    print(halves.row("half the recordings"), flush=True)
    with tempfile.TemporaryDirectory() as place:
        prompts = [Path(place) / f"{i}.wav" for i in range(options.clips)]
        for i, path in enumerate(prompts):
            sf.write(path, recordings[i % len(recordings)][:rate], rate)
        # Generation reads the EMA, so the weights themselves take its place.
        raw = replace(model, arrays={f"average.{k}": v for k, v in model.part("model").items()})
        for name, sampling in SETTINGS.items():
            if not options.only or name in options.only:
                clips = continuations(model, prompts, options.seconds, options.seed, sampling)
                print(measure(clips, recordings, rate).row(name), flush=True)
        if raw.arrays and not options.only:
            clips = continuations(raw, prompts, options.seconds, options.seed, Sampling())
            print(measure(clips, recordings, rate).row("the last, unaveraged weights"), flush=True)


if __name__ == "__main__":
    main()
