"""One self-describing file per checkpoint: safetensors arrays, and the whole config as metadata.

Nothing is ever unpickled. Writing is atomic: a file under its final name is complete. This module
imports no torch, so that generation on a CPU never loads it.

Format 1: arrays `model.*` (weights), `average.*` (their exponential moving average, EMA, used for
evaluation and generation) and, for resuming, `adam.mean.*` and `adam.square.*`; the metadata key
`wavenet` holds the JSON of `format`, `config` and `training`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wavenet.audio.mel_scales import MelStatistics
from wavenet.audio.spread import Spread
from wavenet.config import Config
from wavenet.config.loading import parse
from wavenet.errors import CheckpointError, ConfigError, UsageError
from wavenet.glossary import Array
from wavenet.model.arguments import require_type
from wavenet.model.parameters import expected_shapes, learnt_shapes
from wavenet.system.files import given_path, make_folder_of, write_whole

if TYPE_CHECKING:
    from wavenet.model.network import WaveNet

FORMAT = 1
SUFFIX = ".safetensors"
_DAMAGED = "not a checkpoint of this program, or a damaged one"
# What reading metadata of the wrong form leads to.
_MALFORMED = (ValueError, KeyError, TypeError, RecursionError)


@dataclass(frozen=True)
class Ancestor:
    """A model whose weights another one began with."""

    name: str
    """Of the bundled model, the run or the file."""

    step: int
    """That it had been trained to."""

    sha256: str
    """Of the names and values of its weights, the first 16 digits."""


@dataclass(frozen=True)
class Training:
    """The state of training besides its arrays.

    `torch` and `threads` have to be the same for bit-exact resuming.
    """

    step: int = 0
    """Steps done."""

    seconds: float = 0.0
    """Spent training so far."""

    validation_bits: float | None = None
    """Bits per sample when last evaluated."""

    best_bits: float | None = None
    """The lowest bits per sample of all evaluations."""

    best_step: int | None = None
    """When that was."""

    folder: str = ""
    """Of the recordings."""

    paths: tuple[str, ...] = ()
    """Of the files and folders in it that were chosen; () is all of it."""

    fingerprint: str = ""
    """Of the corpus."""

    decoding: int = 1
    """The version of the rules by which its recordings were decoded."""

    torch: str = ""
    """Its version."""

    threads: int = 0
    """Of torch, on a CPU."""

    precision: str = ""
    """Of the products: fp32, bf16 or fp16."""

    skipped: int = 0
    """Steps that updated nothing, because their gradients overflowed in fp16."""

    loss_scale: float | None = None
    """Of fp16."""

    loss_scale_age: int = 0
    """Steps since it last changed."""

    ancestry: tuple[Ancestor, ...] = ()
    """The models that it was begun from, each from the one before; the last is the nearest."""

    mel: MelStatistics | None = None
    """Of the mel frames that it was trained on; None without any, and in older checkpoints."""

    pitch: tuple[float, float] | None = None
    """The range of notes that it was trained on, as MIDI note numbers; None without pitch."""

    loudness: Spread | None = None
    """Of the recordings that it was trained on; None without loudness."""

    def __post_init__(self) -> None:
        if self.step < 0:
            raise ValueError(f"step {self.step} is below 0")


@dataclass(frozen=True, repr=False, eq=False)
class Model:
    """A trained model, or one in training: a config and named float32 arrays.

    `wavenet.load` reads one, `wavenet.train` makes one, `from_network` takes one's own network.

    >>> import wavenet
    >>> model = wavenet.load("demo-voice")
    >>> model  # doctest: +NORMALIZE_WHITESPACE
    <wavenet.Model 'demo-voice': 20 layers, 245,472 parameters,
     hears 2,047 samples (128 ms) at 16000 Hz, step 10,000>
    >>> model.sample_rate, model.receptive_field
    (16000, 2047)
    """

    config: Config
    """All settings that it was trained with; the network's are `config.model`."""

    arrays: Mapping[str, Array] = field(repr=False)
    """By name: `average.*` has the EMA of the weights. When loaded for resuming, `model.*` has the
    weights and `adam.mean.*` and `adam.square.*` the optimiser's moments.
    """

    training: Training = field(default_factory=Training)
    """How it was trained so far."""

    name: str = ""
    """What tags of audio call it: that of its run or file, or by default of its config."""

    def __post_init__(self) -> None:
        require_type("config", self.config, Config)
        if not self.name:
            object.__setattr__(self, "name", self.config.name)

    def __repr__(self) -> str:
        layers, weights = len(self.config.model.schedule), self.weights.values()
        size = f"{layers} layers, {sum(w.size for w in weights):,} parameters"
        heard, rate = self.receptive_field, self.sample_rate
        hears = f"hears {heard:,} samples ({1000 * heard / rate:.0f} ms) at {rate} Hz"
        step = f", step {self.training.step:,}" if self.training.step else ""
        return f"<wavenet.Model {self.name!r}: {size}, {hears}{step}>"

    @classmethod
    def from_network(cls, network: "WaveNet", config: Config | None = None) -> "Model":
        """A network of one's own as a model, to generate with, to score and to save.

        Its weights are copied, in float32. `config` says at what rate it plays, in its `audio`, and
        has the network's config as its `model`; by default it is `Config(model=network.config)`, at
        16000 Hz. Raises UsageError for what is no `WaveNet`, and for the config of another one.

        >>> import wavenet
        >>> network = wavenet.WaveNet(wavenet.ModelConfig(layers=4), seed=1)
        >>> audio = wavenet.AudioConfig(sample_rate=8000)
        >>> config = wavenet.Config(audio=audio, model=network.config)
        >>> model = wavenet.Model.from_network(network, config)
        >>> wavenet.generate(model, seconds=0.1, seed=7)
        <wavenet.Audio: 0.10 s at 8000 Hz, seed 7>
        """
        from wavenet.model.network import WaveNet

        if not isinstance(network, WaveNet):
            kind = type(network).__name__
            raise UsageError("network", None, f"is a {kind}", "give a wavenet.WaveNet")
        config = Config(model=network.config) if config is None else config
        require_type("config", config, Config, "give wavenet.Config(model=network.config, ...)")
        if config.model != network.config:
            advice = "give wavenet.Config(model=network.config, ...)"
            raise UsageError("config", None, "its model is not that of the network", advice)
        weights = {k: v.detach().cpu().float() for k, v in network.state_dict().items()}
        return cls(config, {f"average.{k}": v.numpy().copy() for k, v in weights.items()})

    def network(self) -> "WaveNet":
        """The torch module, in eval mode on the CPU, with the weights to generate with: the EMA.

        >>> import torch, wavenet
        >>> network = wavenet.load("demo-voice").network()
        >>> network(torch.zeros(1, 3000, dtype=torch.int64)).shape  # (batch, time, n_params)
        torch.Size([1, 954, 256])
        """
        from wavenet.model.network import WaveNet

        return WaveNet.from_arrays(self.config.model, self.weights)

    def save(self, path: str | Path) -> None:
        """Write a checkpoint file, whole or not at all: `wavenet.load` and all commands take it.

        Its name must end in .safetensors, by which commands know it from a preset. Folders are
        made, and a file of this name is replaced. Raises UsageError for another name, OutputError
        for a file that cannot be written.

        >>> import wavenet
        >>> wavenet.load("demo-voice").save("copy.safetensors")
        >>> wavenet.load("copy.safetensors").training.step
        10000
        """
        path = given_path("path", path)
        if path.suffix != SUFFIX:
            raise UsageError("path", path, f"must end in {SUFFIX}")
        make_folder_of(path)
        save(path, self)

    @property
    def sample_rate(self) -> int:
        """In Hz: that of the audio it was trained on and makes."""
        return self.config.audio.sample_rate

    @property
    def receptive_field(self) -> int:
        """Samples before it that each sample depends on."""
        return self.config.model.receptive_field

    def part(self, prefix: str) -> dict[str, Array]:
        """The arrays whose names start with `prefix.`, named without it."""
        start = f"{prefix}."
        return {k.removeprefix(start): v for k, v in self.arrays.items() if k.startswith(start)}

    @property
    def weights(self) -> dict[str, Array]:
        """The weights to evaluate and generate with, by parameter: the EMA."""
        return self.part("average")


def save(path: Path, checkpoint: Model) -> None:
    """Write atomically and flushed to the disk. Raises OutputError."""
    from safetensors import numpy as safetensors

    config, training = checkpoint.config.to_dict(), asdict(checkpoint.training)
    about = json.dumps({"format": FORMAT, "config": config, "training": training})
    write_whole(path, safetensors.save(dict(checkpoint.arrays), metadata={"wavenet": about}))


def load(path: Path, *, resume: bool = False, arrays: bool = True) -> Model:
    """Read a checkpoint: the EMA only, or with `resume` all arrays. Raises CheckpointError.

    Without `arrays` it has none of them: what it says of itself is soon read.
    """
    from pydantic import TypeAdapter, ValidationError
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get("wavenet", "null"))
            if not isinstance(metadata, dict) or "format" not in metadata:
                reason = "is a safetensors file, but not a checkpoint of this program"
                raise CheckpointError(path, reason)
            if metadata["format"] != FORMAT:
                reason = f"is of format {metadata['format']}, this version reads format {FORMAT}"
                raise CheckpointError(path, reason, "upgrade wavenet-audio")
            names = [name for name in list(file.keys()) if resume or name.startswith("average.")]
            names = names if arrays else []
            checkpoint = Model(
                parse(metadata["config"], str(path)),
                {name: file.get_tensor(name) for name in names},
                TypeAdapter(Training).validate_python(metadata["training"]),
            )
    except FileNotFoundError:
        raise CheckpointError(path, "no such file") from None
    except ValidationError as e:
        problem = e.errors()[0]
        where = ".".join(["training", *map(str, problem["loc"])])
        raise CheckpointError(path, f"{_DAMAGED} ({where}: {problem['msg']})") from None
    except (SafetensorError, ConfigError, OSError, *_MALFORMED) as e:
        raise CheckpointError(path, f"{_DAMAGED} ({e or type(e).__name__})") from None
    if arrays:
        _check_arrays(path, checkpoint, ("model", "average") if resume else ("average",))
    return checkpoint


def _check_arrays(path: Path, checkpoint: Model, parts: tuple[str, ...]) -> None:
    """Raise CheckpointError unless each part has the shapes that the config asks for, in float32.

    Adam's moments are checked too where there are any.
    """
    model = checkpoint.config.model
    expected_of = dict.fromkeys(parts, expected_shapes(model))
    if any(name.startswith("adam.") for name in checkpoint.arrays):
        expected_of |= dict.fromkeys(("adam.mean", "adam.square"), learnt_shapes(model))
    for part, expected in expected_of.items():
        shapes = {name: array.shape for name, array in checkpoint.part(part).items()}
        names = sorted(expected.keys() | shapes.keys())
        wrong = [name for name in names if expected.get(name) != shapes.get(name)]
        if wrong:
            shape, asked = shapes.get(wrong[0], "missing"), expected.get(wrong[0], "none")
            reason = f"{part}.{wrong[0]} has shape {shape}, its config asks for {asked}"
            raise CheckpointError(path, reason)
    for name, array in checkpoint.arrays.items():
        if array.dtype != "float32":
            raise CheckpointError(path, f"{name} holds {array.dtype} numbers instead of float32")
