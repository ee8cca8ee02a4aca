"""Recordings said again by a vocoder from their own mel frames, and how close that comes; Griffin-Lim from the same frames beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from wavenet.checkpoint import Checkpoint
from wavenet.engines.options import EngineOptions
from wavenet.fidelity import Fidelity, compare, griffin_lim, missing
from wavenet.guides import cached_guide
from wavenet.pcm_cache import as_wav
from wavenet.progress import LAYOUT_WITHOUT_COUNT, bar
from wavenet.sampler import Sampler
from wavenet.shapes import Wav

MOST_SECONDS = 10.0  # of each recording
MOST_VOCODED = 32  # recordings, all said at once
SEED = 0


@dataclass(frozen=True)
class Vocoded:
    """Means over recordings, each of which counts alike; what could not be had of one is left out."""

    recordings: int
    seconds: float
    model: Fidelity
    griffin_lim: Fidelity


def say_again(model: Checkpoint, recordings: Sequence[tuple[NDArray[np.int16], int]], engine: str, options: EngineOptions) -> Vocoded:
    """Of each recording, (samples at the model's level, its label), up to MOST_SECONDS from its start."""
    config, rate = model.config, model.config.audio.sample_rate
    wavs = [as_wav(pcm[: round(MOST_SECONDS * rate)]) for pcm, _ in recordings]
    guides = [cached_guide(wav, config) for wav in wavs]
    labels = [config.model.labels[label] for _, label in recordings] if config.model.labels else []
    engine = "auto" if engine == "parallel" else engine
    sampler = Sampler(model, seed=SEED, engine=engine, options=options, labels=labels, guides=guides)
    parts: list[list[Wav]] = [[] for _ in wavs]
    with bar(sum(map(len, wavs)), desc="saying again ", layout=LAYOUT_WITHOUT_COUNT, leave=False) as progress:
        for blocks in sampler.ragged([len(wav) for wav in wavs]):
            for stream, block in blocks:
                parts[stream].append(block)
                progress.update(len(block))
    ours = [compare(wav, np.concatenate(part), rate, config.model) for wav, part in zip(wavs, parts, strict=True)]
    yardstick = []
    for wav, guide in zip(wavs, guides, strict=True):
        yardstick.append(compare(wav, griffin_lim(guide.frames, len(wav), rate, config.model), rate, config.model))
    return Vocoded(len(wavs), sum(map(len, wavs)) / rate, _mean(ours), _mean(yardstick))


def _mean(found: Sequence[Fidelity]) -> Fidelity:
    columns = {name: [v for f in found if (v := asdict(f)[name]) is not None] for name in asdict(found[0])}
    return Fidelity(**{name: float(np.mean(values)) if values else None for name, values in columns.items()})  # type: ignore[arg-type]


def vocoded_lines(v: Vocoded) -> Iterator[str]:
    """A table for the terminal."""
    many = f"{v.recordings} recordings" if v.recordings > 1 else "1 recording"
    yield f"{many} said again from their mel frames ({v.seconds:.1f} s), and by Griffin-Lim from the same frames:"
    yield f"{'':14} {'convergence':>12} {'log-STFT dB':>12} {'mel dB':>8} {'STOI':>7} {'PESQ':>7}"
    for name, f in (("this model", v.model), ("Griffin-Lim", v.griffin_lim)):
        stoi, pesq = (f"{x:.3f}" if x is not None else "-" for x in (f.stoi, f.pesq))
        yield f"{name:14} {f.spectral_convergence:>12.3f} {f.log_stft_db:>12.2f} {f.mel_db:>8.2f} {stoi:>7} {pesq:>7}"
    if missing("pystoi") or missing("pesq"):
        yield "(STOI and PESQ need pip install 'wavenet-audio[metrics]')"
