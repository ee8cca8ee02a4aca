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

from wavenet.audio.mel_scales import MelStatistics
from wavenet.config import Config
from wavenet.config.loading import parse
from wavenet.errors import CheckpointError, ConfigError
from wavenet.glossary import Array
from wavenet.model.parameters import expected_shapes
from wavenet.system.files import write_whole

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

    def __post_init__(self) -> None:
        if self.step < 0:
            raise ValueError(f"step {self.step} is below 0")


@dataclass(frozen=True)
class Checkpoint:
    """A config and named float32 arrays: a trained model, or one in training."""

    config: Config
    """All settings that it was trained with; the network's are `config.model`."""

    arrays: Mapping[str, Array] = field(repr=False)
    """By name: `average.*` has the EMA of the weights. When loaded for resuming, `model.*` has the
    weights and `adam.mean.*` and `adam.square.*` the optimiser's moments.
    """

    training: Training = field(default_factory=Training)
    """How it was trained so far."""

    def part(self, prefix: str) -> dict[str, Array]:
        """The arrays whose names start with `prefix.`, named without it."""
        start = f"{prefix}."
        return {k.removeprefix(start): v for k, v in self.arrays.items() if k.startswith(start)}

    @property
    def weights(self) -> dict[str, Array]:
        """The weights to evaluate and generate with, by parameter: the EMA."""
        return self.part("average")


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically and flushed to the disk. Raises OutputError."""
    from safetensors import numpy as safetensors

    config, training = checkpoint.config.to_dict(), asdict(checkpoint.training)
    about = json.dumps({"format": FORMAT, "config": config, "training": training})
    write_whole(path, safetensors.save(dict(checkpoint.arrays), metadata={"wavenet": about}))


def load(path: Path, *, resume: bool = False) -> Checkpoint:
    """Read a checkpoint: the EMA only, or with `resume` all arrays. Raises CheckpointError."""
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
            checkpoint = Checkpoint(
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
    _check_arrays(path, checkpoint, ("model", "average") if resume else ("average",))
    return checkpoint


def _check_arrays(path: Path, checkpoint: Checkpoint, parts: tuple[str, ...]) -> None:
    """Raise CheckpointError unless each part has the shapes that the config asks for, in float32.

    Adam's moments are checked too where there are any.
    """
    expected = expected_shapes(checkpoint.config.model)
    if any(name.startswith("adam.") for name in checkpoint.arrays):
        parts = (*parts, "adam.mean", "adam.square")
    for part in parts:
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
