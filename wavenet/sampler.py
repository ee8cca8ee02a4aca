"""New audio: seed -> noise -> engine -> blocks of audio.

Random numbers are an input of the engines. They come from a counter-based generator keyed by (seed, stream, time), so the same
seed gives the same audio for any block size and any batch the stream travels in.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wavenet import audio, checkpoint
from wavenet.checkpoint import Checkpoint
from wavenet.distributions import Categorical, Sampling
from wavenet.engines import Engine, pick
from wavenet.engines.options import EngineOptions
from wavenet.errors import AudioError, EngineError
from wavenet.receptive import receptive_field
from wavenet.shapes import Noise, Samples, Wav

BLOCK_SAMPLES = 2048  # how often progress shows and Ctrl-C is heard


def load(source: str | Path) -> Checkpoint:
    """A trained model from a run folder (its best checkpoint) or a checkpoint file. Raises CheckpointError."""
    return checkpoint.load(checkpoint.find(Path(source)))


def uniforms(seed: int, stream: int, start: int, count: int) -> Noise:
    """Noise for times start ... start + count of one stream: (k + 1/2) / 2^23 in float32, never 0 and never 1."""
    bits = np.random.Philox(key=np.array([seed, stream], np.uint64), counter=[start // 4, 0, 0, 0])  # each count yields four words
    words = bits.random_raw(start % 4 + count)[start % 4 :]
    return ((words >> np.uint64(41)).astype(np.float32) + np.float32(0.5)) * np.float32(2**-23)


@dataclass(frozen=True)
class Prompt:
    """A recording to continue: its last codes, and the gain that took it to the model's level."""

    x: Samples = field(repr=False)  # (time,)
    gain: float


def read_prompt(path: Path, model: Checkpoint) -> Prompt:
    """The end of a recording of any length, as far back as the model hears. Raises AudioError for one that cannot lead anywhere."""
    config = model.config
    rate = config.audio.sample_rate
    level = audio.measure(audio.read_blocks(path, rate), rate, config.audio.trim_db)
    if not level.finite:
        raise AudioError(f"{path}: holds NaN or infinite samples; repair it first")
    if level.samples < 2:
        raise AudioError(f"{path}: holds {level.samples} samples; a prompt needs at least 2")
    if level.silent:
        raise AudioError(f"{path}: is silent; leave out --prompt to start from silence")
    gain = audio.gain_for(level.peak, config.audio.level, config.audio.peak_db)
    reach = receptive_field(config.model.schedule, config.model.kernel_size)
    tail = np.zeros(0, np.float32)
    for block in audio.read_blocks(path, rate):
        tail = np.concatenate([tail, block])[-reach:]
    return Prompt(Categorical(config.model.levels).encode(tail * np.float32(gain)), gain)


class Sampler:
    """Streams of audio from one model: iterate `blocks`. Stream i of a seed is the same audio whatever its companions."""

    def __init__(
        self,
        model: Checkpoint,
        *,
        seed: int,
        count: int = 1,
        sampling: Sampling | None = None,
        engine: str | Engine = "auto",
        options: EngineOptions | None = None,
        prompt: Prompt | None = None,
    ) -> None:
        if not 0 <= seed < 2**64:
            raise EngineError(f"seed {seed}: must be 0 to 2^64 - 1")
        if not 1 <= count <= 10_000:
            raise EngineError(f"count {count}: must be 1 to 10000")
        self.seed, self.count, self.sampling = seed, count, sampling or Sampling()
        self.distribution = Categorical(model.config.model.levels)
        self.engine = pick(engine, model.config.model, model.weights, options) if isinstance(engine, str) else engine
        self.gain = 1.0 if prompt is None else prompt.gain
        self.time = 0
        self.state: Any = self.engine.init_state(1)
        if prompt is not None:
            for start in range(0, len(prompt.x), BLOCK_SAMPLES):
                self.engine.feed(self.state, prompt.x[None, start : start + BLOCK_SAMPLES])
        self.state = self.engine.repeat(self.state, count)

    def blocks(self, samples: int, block: int = BLOCK_SAMPLES) -> Iterator[Wav]:
        """The next `samples` of every stream, as blocks (count, up to `block`) at the prompt's own level."""
        for start in range(0, samples, block):
            n = min(block, samples - start)
            noise = np.stack([uniforms(self.seed, stream, self.time, n) for stream in range(self.count)])
            x = self.engine.generate(self.state, noise, self.sampling)
            self.time += n
            yield np.clip(self.distribution.decode(x) / np.float32(self.gain), -1, 1)


def generate(
    model: Checkpoint,
    seconds: float = 2.0,
    seed: int = 0,
    *,
    count: int = 1,
    prompt: str | Path | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    engine: str = "auto",
    precision: str = "fp32",
    threads: int = 0,
) -> Wav:
    """New audio in -1 ... 1 at `model.config.audio.sample_rate`: (time,), or (count, time) when count is above 1.

    `prompt` names a recording to continue; it is not part of the result. `precision="bf16"` rounds the weights, for speed; `threads` is
    the most that may be used, 0 for as many as help. Raises WavenetError for what cannot be done.
    """
    options = EngineOptions(precision, threads)
    samples = samples_for(model, seconds)
    start = None if prompt is None else read_prompt(Path(prompt), model)
    sampling = Sampling(temperature, top_k, top_p)
    sampler = Sampler(model, seed=seed, count=count, sampling=sampling, engine=engine, options=options, prompt=start)
    wav = np.concatenate(list(sampler.blocks(samples)), axis=1)
    return wav[0] if count == 1 else wav


def samples_for(model: Checkpoint, seconds: float) -> int:
    """A length in samples. Raises EngineError unless it is at least one and at most a day."""
    samples = round(seconds * model.config.audio.sample_rate) if 0 < seconds <= 86_400 else 0
    if samples < 1:
        raise EngineError(f"seconds {seconds:g}: must be above 0 and at most 86400 (a day)")
    return samples
