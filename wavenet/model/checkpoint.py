"""One self-describing file per checkpoint: safetensors arrays, and JSON metadata that carries the whole config.

Nothing is ever unpickled. Writing is atomic: a file under its final name is complete. Importable without torch, so that
generation on a CPU never loads it.

Format 1: arrays `model.*` (weights), `average.*` (their exponential average, used for evaluation and generation) and, for
resuming, `adam.mean.*` and `adam.square.*`; metadata key `wavenet` holds the JSON of `format`, `config` and `training`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wavenet.arrays import Array
from wavenet.config import Config
from wavenet.config.loading import parse
from wavenet.errors import CheckpointError, ConfigError
from wavenet.model.parameters import expected_shapes
from wavenet.system.files import write_whole

FORMAT = 1
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Training:
    """Where training stood. `torch` and `threads` matter for bit-exact resuming."""

    step: int = 0
    seconds: float = 0.0  # spent training so far
    validation_bits: float | None = None  # bits per sample, when last evaluated
    best_bits: float | None = None
    best_step: int | None = None
    folder: str = ""
    fingerprint: str = ""  # of the corpus
    torch: str = ""
    threads: int = 0
    precision: str = ""
    skipped: int = 0  # steps whose gradients overflowed in fp16, which moved nothing
    loss_scale: float | None = None  # of fp16, and for how many steps it has held
    loss_scale_age: int = 0

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
        """The arrays under `prefix.`, without it."""
        return {
            k.removeprefix(f"{prefix}."): v
            for k, v in self.arrays.items()
            if k.startswith(f"{prefix}.")
        }

    @property
    def weights(self) -> dict[str, Array]:
        """What to evaluate and generate with: the averaged weights."""
        return self.part("average")


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically and flushed to the disk. Raises OutputError."""
    write_whole(path, pack(checkpoint))


def pack(checkpoint: Checkpoint) -> bytes:
    """What `save` writes."""
    from safetensors import numpy as safetensors

    about = {
        "format": FORMAT,
        "config": checkpoint.config.to_dict(),
        "training": vars(checkpoint.training),
    }
    return safetensors.save(dict(checkpoint.arrays), metadata={"wavenet": json.dumps(about)})


def unpack(data: bytes) -> Checkpoint:
    """A checkpoint that this version packed, just now."""
    from safetensors import numpy as safetensors

    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    about = json.loads(header["__metadata__"]["wavenet"])
    return Checkpoint(parse(about["config"]), safetensors.load(data), Training(**about["training"]))


def load(path: Path, *, resume: bool = False) -> Checkpoint:
    """Read a checkpoint; only what generation needs unless `resume`. Raises CheckpointError."""
    from pydantic import TypeAdapter, ValidationError
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get("wavenet", "null"))
            if not isinstance(about, dict) or "format" not in about:
                raise CheckpointError(
                    f"{path}: is a safetensors file, but not a checkpoint of this program"
                )
            if about["format"] != FORMAT:
                raise CheckpointError(
                    f"{path}: is of format {about['format']}, this version reads format {FORMAT}; upgrade wavenet-audio"
                )
            names = [k for k in file.keys() if resume or k.startswith("average.")]  # noqa: SIM118 - not a dict
            checkpoint = Checkpoint(
                parse(about["config"], str(path)),
                {k: file.get_tensor(k) for k in names},
                TypeAdapter(Training).validate_python(about["training"]),
            )
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except ValidationError as e:
        problem = e.errors()[0]
        where = ".".join(["training", *map(str, problem["loc"])])
        raise CheckpointError(
            f"{path}: not a checkpoint of this program, or a damaged one ({where}: {problem['msg']})"
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
    """Raise CheckpointError unless each part, and Adam's moments if there are any, is what the config asks for."""
    expected = expected_shapes(checkpoint.config)
    moments = (
        ("adam.mean", "adam.square")
        if any(k.startswith("adam.") for k in checkpoint.arrays)
        else ()
    )
    for part in (*parts, *moments):
        found = {k: v.shape for k, v in checkpoint.part(part).items()}
        wrong = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
        if wrong:
            raise CheckpointError(
                f"{path}: {part}.{wrong[0]} has shape {found.get(wrong[0], 'missing')}, "
                f"its config asks for {expected.get(wrong[0], 'none')}"
            )
    for name, array in checkpoint.arrays.items():
        if array.dtype != "float32":
            raise CheckpointError(f"{path}: {name} holds {array.dtype} numbers instead of float32")
