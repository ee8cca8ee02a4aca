"""The settings of [train]: the training recipe.

A number's range stands in `bounds` below. One that is renamed or goes away is entered in `legacy`.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from wavenet.config.checks import Checked


@dataclass(frozen=True)
class TrainConfig(Checked):
    """The training recipe."""

    section: ClassVar[str] = "train"

    steps: int = 20_000  # length of the schedule
    batch: int = 2  # windows per step

    # Parts that a step's batch is computed in, one after the other: less memory, the same result.
    accumulate: int = 1

    # Keep every Nth layer's input only and compute the rest again: less memory, more time. 0 keeps
    # all.
    checkpoint_layers: int = 0

    # Of the products. "auto" is bf16 on GPUs that have it, else fp32.
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"

    # Let torch.compile fuse the passes over the gates.
    compile: bool = False

    # Each window is made up to this much louder or softer than recorded, so that small folders are
    # learnt by heart later.
    augment_gain_db: float = 0.0

    # Predicted samples per window. The receptive field comes on top, before them.
    segment_seconds: float = 0.5

    learning_rate: float = 1e-2
    warmup_steps: int = 50
    schedule: Literal["cosine", "constant"] = "cosine"
    weight_decay: float = 0.01
    clip_norm: float = 1.0

    # Decay per step of the weights' EMA, reached gradually.
    ema_decay: float = 0.999
    seed: int = 0

    # Whole files are held out, or the last tenth of each file over one second.
    validation: Literal["files", "tails"] = "files"
    validation_fraction: float = 0.1

    # At most this much audio is scored each time.
    validation_seconds: float = 30.0

    # Steps between validations. With each come a rendered sample and a checkpoint.
    evaluate_every: int = 500

    # A checkpoint is saved at least this often.
    checkpoint_minutes: float = 5.0

    # End early when this many validations in a row brought nothing better. 0: never.
    patience: int = 0

    # The last ones that are kept, and the best one besides.
    keep_checkpoints: int = 3

    # Length of the sample rendered at each validation. 0 renders none.
    sample_seconds: float = 1.5

    # Where a recording's label comes from: its "folder", a .csv of file,label, or a pattern with
    # (?P<label>...) on its name.
    label_from: str = "folder"

    def __post_init__(self) -> None:
        super().__post_init__()
        bounds: dict[str, tuple[float, float]] = {
            "steps": (1, 1e9),
            "batch": (1, 65536),
            "accumulate": (1, self.batch),
            "checkpoint_layers": (0, 1000),
            "augment_gain_db": (0, 40),
            "segment_seconds": (0.001, 60),
            "learning_rate": (1e-9, 10),
            "warmup_steps": (0, 1e9),
            "weight_decay": (0, 10),
            "clip_norm": (1e-6, 1e6),
            "ema_decay": (0, 0.999999),
            "seed": (0, 2**63 - 1),
            "validation_fraction": (0.01, 0.5),
            "validation_seconds": (0.1, 1e6),
            "evaluate_every": (1, 1e9),
            "checkpoint_minutes": (0.01, 1e6),
            "patience": (0, 1e9),
            "keep_checkpoints": (1, 1000),
            "sample_seconds": (0, 60),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            self._require(low <= value <= high, name, f"must be {low:g} to {high:g}")
