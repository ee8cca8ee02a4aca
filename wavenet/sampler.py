"""New audio: seed -> noise -> engine -> blocks of audio.

Random numbers are an input of the engines. They come from a counter-based generator keyed by (seed, stream, time), so the same
seed gives the same audio for any block size and any batch the stream travels in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wavenet import audio, checkpoint, distributions
from wavenet.checkpoint import Checkpoint
from wavenet.distributions import Sampling
from wavenet.engines import Engine, pick
from wavenet.engines.cond import Cond, Projection
from wavenet.engines.options import EngineOptions
from wavenet.errors import AudioError, EngineError
from wavenet.guides import Guide, frames_guide, guide_of
from wavenet.labels import choose, labels_line
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


def noise_for(seed: int, streams: Sequence[int], start: int, count: int, n_noise: int) -> Noise:
    """What an engine draws times start ... start + count of these streams with: (streams, count, n_noise)."""
    rows = [uniforms(seed, stream, start * n_noise, count * n_noise) for stream in streams]
    return np.stack(rows).reshape(len(streams), count, n_noise)


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
    reach = config.model.receptive_field
    tail = np.zeros(0, np.float32)
    for block in audio.read_blocks(path, rate):
        tail = np.concatenate([tail, block])[-reach:]
    return Prompt(distributions.of(config.model).encode(tail * np.float32(gain)), gain)


class Sampler:
    """Streams of audio from one model: iterate `blocks`. Stream i of a seed is the same audio whatever its companions.

    A model that knows labels is told one for each stream: those in `labels` in turn, or all that it knows. One that follows mel frames
    makes a stream for each of `guides`, all with the noise of stream 0, so that a recording sounds the same alone and among others; if it
    knows labels too, they must be given.
    """

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
        labels: Sequence[str] = (),
        guides: Sequence[Guide] = (),
    ) -> None:
        if not 0 <= seed < 2**64:
            raise EngineError(f"seed {seed}: must be 0 to 2^64 - 1")
        if not 1 <= count <= 10_000:
            raise EngineError(f"count {count}: must be 1 to 10000")
        config = model.config.model
        if guides and config.labels and not labels:
            raise EngineError(f"this model knows labels: choose one, --label {labels_line(config.labels)}")
        self.seed, self.count, self.sampling = seed, len(guides) or count, sampling or Sampling()
        self.labels = told_labels(config.labels, labels, self.count)
        self.distribution = distributions.of(config)
        self.distribution.check(self.sampling)
        self.engine = pick(engine, config, model.weights, options) if isinstance(engine, str) else engine
        self.time = 0
        self._going = list(range(self.count))
        self._before = 0 if prompt is None else len(prompt.x)
        self._noise_of = [0] * len(guides) or list(range(count))
        self._gains = [g.gain for g in guides] or [1.0 if prompt is None else prompt.gain] * count
        self._projection = Projection(config, model.weights) if config.condition_channels else None
        told: list[int | None] = [config.labels.index(label) for label in self.labels] if self.labels else [None] * self.count
        frames = [g.frames for g in guides] if guides else [None] * self.count
        streams = zip(frames, told, strict=True)
        self._features = [self._projection.features(*s) for s in streams] if self._projection else []
        # one of each that differ before they draw
        kinds = list(range(self.count)) if guides else [told.index(n) for n in dict.fromkeys(told)]
        state = self._started(prompt, kinds)
        self.state: Any = state if guides else self.engine.take(state, [kinds.index(told.index(n)) for n in told])

    def blocks(self, samples: int, block: int = BLOCK_SAMPLES) -> Iterator[Wav]:
        """The next `samples` of every stream still going, as blocks (streams, up to `block`) at the prompt's own level."""
        return (np.stack([wav for _, wav in made]) for made in self.ragged([samples] * self.count, block))

    def ragged(self, samples: Sequence[int], block: int = BLOCK_SAMPLES) -> Iterator[list[tuple[int, Wav]]]:
        """The next samples of streams of different lengths, as (stream, block). Those that are done stay behind while others go on."""
        start = self.time
        while left := [i for i in self._going if samples[i] > self.time - start]:
            if len(left) < len(self._going):
                self.state = self.engine.take(self.state, [self._going.index(i) for i in left])
                self._going = left
            going = self._going
            n = min(block, min(samples[i] for i in going) - (self.time - start))
            noise = noise_for(self.seed, [self._noise_of[i] for i in going], self.time, n, self.distribution.n_noise)
            x = self.engine.generate(self.state, noise, self.sampling, self._cond(going, self._before + self.time, n))
            self.time += n
            wavs = self.distribution.decode(x)
            yield [(i, np.clip(wav / np.float32(self._gains[i]), -1, 1)) for i, wav in zip(going, wavs, strict=True)]

    def _started(self, prompt: Prompt | None, streams: Sequence[int]) -> Any:
        """A state of these streams, after the prompt."""
        state = self.engine.init_state(len(streams), self._cond(streams, 0, 0))
        for start in range(0, self._before, BLOCK_SAMPLES):
            assert prompt is not None
            x = prompt.x[start : start + BLOCK_SAMPLES]
            self.engine.feed(state, np.tile(x, (len(streams), 1)), self._cond(streams, start, len(x)))
        return state

    def _cond(self, streams: Sequence[int], time: int, steps: int) -> Cond | None:
        return self._projection.cond([self._features[i] for i in streams], time, steps) if self._projection else None


def told_labels(known: Sequence[str], asked: Sequence[str], count: int) -> list[str]:
    """The label of each stream: those asked for in turn, or all known ones. Raises EngineError for one that the model does not know."""
    chosen = [known[i] for i in choose(asked, known)] or list(known)
    return [chosen[i % len(chosen)] for i in range(count)] if chosen else []


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
    """New audio in -1 ... 1 at `model.config.audio.sample_rate`: (time,), or (count, time) when count is above 1.

    `prompt` names a recording to continue; it is not part of the result. `label` is one of `model.config.model.labels`; without it clips
    take them in turn. `precision="bf16"` rounds the weights, for speed; `threads` is
    the most that may be used, 0 for as many as help. Raises WavenetError for what cannot be done.
    """
    options = EngineOptions(precision, threads)
    samples = samples_for(model, seconds)
    start = None if prompt is None else read_prompt(Path(prompt), model)
    sampling, names = Sampling(temperature, top_k, top_p), () if label is None else (label,)
    sampler = Sampler(model, seed=seed, count=count, sampling=sampling, engine=engine, options=options, prompt=start, labels=names)
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
    """A recording (time,) in -1 ... 1 at the model's rate, said again, or audio for log-mel frames (n, bands).

    Several, as a list, are made at once, whatever their lengths; each comes out as it would alone. A model that also knows labels must be
    told which. Raises WavenetError.
    """
    several = isinstance(wav_or_frames, list | tuple)
    sources = [np.asarray(s) for s in (wav_or_frames if several else [wav_or_frames])]
    if not sources:
        return []
    guides = [guide_of(s, model, "wav") if s.ndim == 1 else frames_guide(s, model, "frames") for s in sources]
    sampling, names = Sampling(temperature), () if label is None else (label,)
    options = EngineOptions(precision, threads)
    sampler = Sampler(model, seed=seed, sampling=sampling, engine=engine, options=options, labels=names, guides=guides)
    parts: list[list[Wav]] = [[] for _ in guides]
    for made in sampler.ragged([g.samples for g in guides]):
        for i, block in made:
            parts[i].append(block)
    wavs = [np.concatenate(p) for p in parts]
    return wavs if several else wavs[0]
