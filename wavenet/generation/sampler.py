"""Streams of new audio that begin together: noise -> engine -> blocks of audio.

Random numbers are an input of the engines. They come from a counter-based generator keyed by (seed,
stream, time), so the same seed gives the same audio for any block size and any batch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from wavenet.engines import Engine
from wavenet.engines.options import EngineOptions
from wavenet.errors import UsageError
from wavenet.generation.conditions import Conditions
from wavenet.generation.prompt import Prompt
from wavenet.generation.streams import Generator
from wavenet.glossary import Samples, Wav
from wavenet.model.arguments import integer_list, require_integer, require_type
from wavenet.model.checkpoint import Model
from wavenet.model.distributions.base import Sampling
from wavenet.model.distributions.registry import distribution_for
from wavenet.model.known_labels import in_turn, labels_line

# How often progress shows and Ctrl-C is noticed.
BLOCK_SAMPLES = 2048
MOST_STREAMS = 10_000


def require_count(count: int) -> None:
    """Raise UsageError for a number of streams that no seed has."""
    require_integer("count", count, 1, MOST_STREAMS, f"must be 1 to {MOST_STREAMS}")


def _require_same(unit: str, of_prompt: int, of_model: int) -> None:
    """Raise UsageError for a prompt that was read for another kind of model; 0 is of any."""
    if of_prompt not in (0, of_model):
        reason = f"was read for a model of {of_prompt} {unit}, and this one is of {of_model}"
        raise UsageError("prompt", None, reason, "read it for this model")


def _require_conditions(conditions: Any, labels: Sequence[str], known: Sequence[str]) -> None:
    """Raise UsageError for what is no list of what streams follow, or for missing labels."""
    listed = isinstance(conditions, list | tuple)
    if not listed or not all(isinstance(getattr(c, "values", None), Mapping) for c in conditions):
        raise UsageError("conditions", None, "must be a list of Conditions")
    if conditions and known and not labels:
        advice = f"choose one of {labels_line(known)}"
        raise UsageError("label", None, "this model knows labels", advice)


class Sampler:
    """Streams of audio from one model: iterate `blocks`, or `collect` all of it.

    `seed` is 0 to 2^64 - 1, `count` the number of streams, 1 to 10,000. They are those of the seed
    from number `first` on: many can be made in several parts. `prompt` comes from
    `wavenet.read_prompt`. Each call goes on where the last one stopped; `time` is the number of
    samples that streams have so far, and `labels` has the label of each.

    Stream i of a seed is the same audio whatever its companions. A model that knows labels has one
    for each stream: those in `labels` in turn, or all that it knows. One that follows mel frames
    or others makes a stream for each of `conditions`, which `wavenet.read_source` reads, all with
    the noise of stream 0, so that a recording sounds the same alone and among others; if it knows
    labels too, they must be given.

    `options` are those of an engine that is given by its name; by default it rounds weights.

    Raises UsageError or EngineError for what the model or the engine cannot do.

    >>> model = wavenet.load("demo-voice")
    >>> sampler = wavenet.Sampler(model, seed=7, count=2, engine="reference")
    >>> [block.shape for block in sampler.blocks(50, block=40)]
    [(2, 40), (2, 10)]
    >>> sampler.time
    50
    """

    def __init__(
        self,
        model: Model,
        *,
        seed: int,
        count: int = 1,
        first: int = 0,
        sampling: Sampling | None = None,
        engine: str | Engine = "auto",
        options: EngineOptions | None = None,
        prompt: Prompt | None = None,
        labels: Sequence[str] = (),
        conditions: Sequence[Conditions] = (),
    ) -> None:
        require_type("model", model, Model, "`wavenet.load` gives one")
        require_integer("seed", seed, 0, 2**64 - 1, "must be 0 to 2^64 - 1")
        require_count(count)
        require_integer("first", first, 0, 2**63 - 1, "must be the number of a stream, 0 or more")
        if isinstance(labels, str) or not isinstance(labels, Sequence):
            raise UsageError("labels", labels, "must be a list of labels")
        for name, given, kind in (
            ("sampling", sampling, Sampling),
            ("options", options, EngineOptions),
            ("prompt", prompt, Prompt),
        ):
            if given is not None:
                require_type(name, given, kind)
        config = model.config.model
        _require_conditions(conditions, labels, config.labels)
        prompt = prompt or Prompt(np.zeros(0, np.int64), gain=1.0)
        self.seed, self.sampling = seed, sampling or Sampling()
        self.count = len(conditions) or count
        label_ids = in_turn(labels, config.labels, range(first, first + self.count))
        self.labels = [config.labels[i] for i in label_ids]
        self.distribution = distribution_for(config)
        self.distribution.check(self.sampling)
        _require_same("Hz", prompt.sample_rate, model.sample_rate)
        _require_same("levels", prompt.levels, self.distribution.levels)
        if len(prompt.x) and config.linear_prediction:
            raise UsageError("prompt", None, "is audio, and this model predicts an excitation")
        self.generator = Generator(model, engine, options)
        self.engine = self.generator.engine
        self.time = 0
        self._going = list(range(self.count))
        values: list[dict[str, Any]] = [{"label": i} for i in label_ids] or [{}] * self.count
        about = {"sampling": self.sampling, "prompt_samples": len(prompt.x)}
        numbers, gains = list(range(first, first + self.count)), [prompt.gain] * self.count
        # Streams of one kind are conditioned alike, so they are the same until they draw.
        kinds = label_ids or [0] * self.count
        if conditions:
            values = [{**v, **c.values} for v, c in zip(values, conditions, strict=True)]
            numbers, gains = [0] * self.count, [c.gain for c in conditions]
            kinds = list(range(self.count))
        self.streams = [
            self.generator.stream(seed, number, value, gain=gain, **about)
            for number, value, gain in zip(numbers, values, gains, strict=True)
        ]
        self.state = self._after(prompt.x, kinds)

    def collect(
        self, samples: Sequence[int], advance: Callable[[int], object] = lambda _samples: None
    ) -> list[Wav]:
        """The next samples of every stream still going, so many of each: a wav (time,) of each.

        `advance` is called with the number of samples of each block.
        """
        self._require_lengths(samples)
        parts: list[list[Wav]] = [[np.zeros(0, np.float32)] for _ in samples]
        for blocks in self.variable_length_blocks(samples):
            for stream, wav in blocks:
                parts[stream].append(wav)
                advance(len(wav))
        return [np.concatenate(wavs) for wavs in parts]

    def blocks(self, samples: int, block: int = BLOCK_SAMPLES) -> Iterator[Wav]:
        """The next `samples` of every stream still going, in blocks (streams, up to `block`).

        float32 in -1 ... 1, at the prompt's own level; `block` is 2048 samples by default. All
        streams are advanced together, so each block is there as soon as it is computed.
        """
        for wavs in self.variable_length_blocks([samples] * self.count, block):
            yield np.stack([wav for _, wav in wavs])

    def variable_length_blocks(
        self, samples: Sequence[int], block: int = BLOCK_SAMPLES
    ) -> Iterator[list[tuple[int, Wav]]]:
        """The next samples of streams of different lengths, as pairs of a stream and its block.

        Those that are done stay behind while others go on.
        """
        self._require_lengths(samples)
        require_integer("block", block, 1, 2**63 - 1, "must be 1 or more samples")
        start = self.time
        while left := [i for i in self._going if samples[i] > self.time - start]:
            if len(left) < len(self._going):
                self.state = self.engine.select(self.state, [self._going.index(i) for i in left])
                self._going = left
            steps = min(block, min(samples[i] for i in left) - (self.time - start))
            wavs = self.generator.advance(self.state, [self.streams[i] for i in left], steps)
            self.time += steps
            yield list(zip(left, wavs, strict=True))

    def _require_lengths(self, samples: Sequence[int]) -> None:
        """Raise UsageError unless that is a number of samples for each stream."""
        if len(integer_list("samples", samples, 0)) != self.count:
            raise UsageError("samples", None, f"must list one for each of {self.count} streams")

    def _after(self, prompt: Samples, kinds: Sequence[int]) -> Any:
        """A state of all streams, after the prompt, which one stream of each kind reads for all."""
        distinct = list(dict.fromkeys(kinds))
        readers = [self.streams[kinds.index(kind)] for kind in distinct]
        state = self.generator.after(prompt, readers)
        return self.engine.select(state, [distinct.index(kind) for kind in kinds])
