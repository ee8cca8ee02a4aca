"""New audio from Python in one call: load, generate, vocode."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wavenet.engines.options import EngineOptions
from wavenet.errors import EngineError
from wavenet.generation.mel_input import MelInput
from wavenet.generation.prompt import read_prompt
from wavenet.generation.sampler import Sampler
from wavenet.glossary import Wav
from wavenet.model import checkpoint, locate
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.distributions.base import Sampling


def load(source: str | Path) -> Checkpoint:
    """A trained model from a run folder (its best checkpoint), a checkpoint file, or by name.

    Raises CheckpointError.
    """
    return checkpoint.load(locate.find(Path(source)))


def generate(
    model: Checkpoint,
    seconds: float = 2.0,
    seed: int = 0,
    *,
    count: int = 1,
    prompt: str | Path | None = None,
    label: str | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    engine: str = "auto",
    precision: str = "fp32",
    threads: int = 0,
) -> Wav:
    """New audio in -1 ... 1 at `model.config.audio.sample_rate`.

    (time,), or (count, time) when count is above 1. `prompt` names a recording to continue; it is
    not part of the result. `label` is one of `model.config.model.labels`; without it clips take
    them in turn. `precision="bf16"` rounds the weights, for speed; `threads` is the most that may
    be used, 0 for as many as help. Raises WavenetError for what cannot be done.
    """
    options = EngineOptions(precision, threads)
    samples = samples_for(model, seconds)
    start = None if prompt is None else read_prompt(Path(prompt), model)
    sampling, names = Sampling(temperature, top_k, top_p), () if label is None else (label,)
    sampler = Sampler(
        model,
        seed=seed,
        count=count,
        sampling=sampling,
        engine=engine,
        options=options,
        prompt=start,
        labels=names,
    )
    wav = np.concatenate(list(sampler.blocks(samples)), axis=1)
    return wav[0] if count == 1 else wav


def samples_for(model: Checkpoint, seconds: float) -> int:
    """A length in samples. Raises EngineError unless it is at least one and at most a day."""
    samples = round(seconds * model.config.audio.sample_rate) if 0 < seconds <= 86_400 else 0
    if samples < 1:
        raise EngineError(f"seconds {seconds:g}: must be above 0 and at most 86400 (a day)")
    return samples


def vocode(
    model: Checkpoint,
    wav_or_frames: Wav | Sequence[Wav],
    seed: int = 0,
    *,
    label: str | None = None,
    temperature: float = 1.0,
    engine: str = "auto",
    precision: str = "fp32",
    threads: int = 0,
) -> Wav | list[Wav]:
    """A recording (time,) in -1 ... 1 at the model's rate, resynthesised from its mel frames.

    Or audio for log-mel frames (n, bands). Several, as a list, are made at once, whatever their
    lengths; each comes out as it would alone. A model that also knows labels needs one. Raises
    WavenetError.
    """
    several = isinstance(wav_or_frames, list | tuple)
    sources = [np.asarray(s) for s in (wav_or_frames if several else [wav_or_frames])]
    if not sources:
        return []
    mel_inputs = [
        MelInput.from_audio(source, model, "wav")
        if source.ndim == 1
        else MelInput.from_frames(source, model, "frames")
        for source in sources
    ]
    sampling, names = Sampling(temperature), () if label is None else (label,)
    options = EngineOptions(precision, threads)
    sampler = Sampler(
        model,
        seed=seed,
        sampling=sampling,
        engine=engine,
        options=options,
        labels=names,
        mel_inputs=mel_inputs,
    )
    parts: list[list[Wav]] = [[] for _ in mel_inputs]
    for blocks in sampler.variable_length_blocks([m.samples for m in mel_inputs]):
        for i, block in blocks:
            parts[i].append(block)
    wavs = [np.concatenate(p) for p in parts]
    return wavs if several else wavs[0]
