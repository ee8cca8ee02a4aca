"""One self-describing file per checkpoint: safetensors arrays, and the whole config as metadata.

Nothing is ever unpickled. Writing is atomic: a file under its final name is complete. This module
imports no torch, so that generation on a CPU never loads it.

Format 1: arrays `model.*` (weights), `average.*` (their exponential moving average, EMA, used for
evaluation and generation) and, for resuming, `adam.mean.*` and `adam.square.*`; the metadata key
`wavenet` holds the JSON of `format`, `config` and `training`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wavenet.config import Config
from wavenet.config.loading import parse
from wavenet.errors import CheckpointError, ConfigError
from wavenet.glossary import Array
from wavenet.model.parameters import expected_shapes
from wavenet.system.files import write_whole

FORMAT = 1
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Training:
    """The state of training besides its arrays.

    `torch` and `threads` have to be the same for bit-exact resuming.
    """

    step: int = 0
    seconds: float = 0.0  # spent training so far
    validation_bits: float | None = None  # per sample, when last evaluated
    best_bits: float | None = None  # per sample
    best_step: int | None = None
    folder: str = ""  # of the recordings
    fingerprint: str = ""  # of the corpus
    torch: str = ""  # version
    threads: int = 0
    precision: str = ""
    # Steps that updated nothing, because their gradients overflowed in fp16.
    skipped: int = 0
    loss_scale: float | None = None  # of fp16
    loss_scale_age: int = 0  # steps since it last changed

    def __post_init__(self) -> None:
        if self.step < 0:
            raise ValueError(f"step {self.step} is below 0")


@dataclass(frozen=True)
class Checkpoint:
    """A config and named float32 arrays."""

    config: Config
    arrays: Mapping[str, Array] = field(repr=False)
    training: Training = field(default_factory=Training)

    def part(self, prefix: str) -> dict[str, Array]:
        """The arrays whose names start with `prefix.`, named without it."""
        start = f"{prefix}."
        return {k.removeprefix(start): v for k, v in self.arrays.items() if k.startswith(start)}

    @property
    def weights(self) -> dict[str, Array]:
        """The weights to evaluate and generate with: the EMA."""
        return self.part("average")


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically and flushed to the disk. Raises OutputError."""
    write_whole(path, pack(checkpoint))


def pack(checkpoint: Checkpoint) -> bytes:
    """The bytes that `save` writes."""
    from safetensors import numpy as safetensors

    metadata = {
        "format": FORMAT,
        "config": checkpoint.config.to_dict(),
        "training": vars(checkpoint.training),
    }
    return safetensors.save(dict(checkpoint.arrays), metadata={"wavenet": json.dumps(metadata)})


def unpack(data: bytes) -> Checkpoint:
    """The checkpoint in bytes that this version packed in this run; they are trusted."""
    from safetensors import numpy as safetensors

    # A safetensors file begins with the size of its JSON header as a 64-bit integer.
    header_bytes = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + header_bytes])
    metadata = json.loads(header["__metadata__"]["wavenet"])
    training = Training(**metadata["training"])
    return Checkpoint(parse(metadata["config"]), safetensors.load(data), training)


def load(path: Path, *, resume: bool = False) -> Checkpoint:
    """Read a checkpoint: the EMA only, or with `resume` all arrays. Raises CheckpointError."""
    from pydantic import TypeAdapter, ValidationError
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get("wavenet", "null"))
            if not isinstance(metadata, dict) or "format" not in metadata:
                raise CheckpointError(
                    f"{path}: is a safetensors file, but not a checkpoint of this program"
                )
            if metadata["format"] != FORMAT:
                raise CheckpointError(
                    f"{path}: is of format {metadata['format']}, "
                    f"this version reads format {FORMAT}; upgrade wavenet-audio"
                )
            names = list(file.keys())
            if not resume:
                names = [name for name in names if name.startswith("average.")]
            checkpoint = Checkpoint(
                parse(metadata["config"], str(path)),
                {name: file.get_tensor(name) for name in names},
                TypeAdapter(Training).validate_python(metadata["training"]),
            )
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except ValidationError as e:
        problem = e.errors()[0]
        where = ".".join(["training", *map(str, problem["loc"])])
        raise CheckpointError(
            f"{path}: not a checkpoint of this program, or a damaged one "
            f"({where}: {problem['msg']})"
        ) from None
    except (
        SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
        ConfigError,
        OSError,
    ) as e:
        raise CheckpointError(
            f"{path}: not a checkpoint of this program, or a damaged one ({e or type(e).__name__})"
        ) from None
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
            raise CheckpointError(
                f"{path}: {part}.{wrong[0]} has shape {shapes.get(wrong[0], 'missing')}, "
                f"its config asks for {expected.get(wrong[0], 'none')}"
            )
    for name, array in checkpoint.arrays.items():
        if array.dtype != "float32":
            raise CheckpointError(f"{path}: {name} holds {array.dtype} numbers instead of float32")
