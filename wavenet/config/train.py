"""The settings of [train]: the training recipe.

One that is renamed or goes away is entered in `legacy`.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from wavenet.config.checks import Checked, ranged


@dataclass(frozen=True)
class TrainConfig(Checked):
    """The training recipe."""

    section: ClassVar[str] = "train"

    steps: int = ranged(20_000, 1, 1e9)  # length of the schedule
    batch: int = ranged(2, 1, 65536)  # windows per step

    # Parts that a step's batch is computed in, one after the other: less memory, the same result.
    accumulate: int = 1

    # Keep every Nth layer's input only and compute the rest again: less memory, more time. 0 keeps
    # all.
    checkpoint_layers: int = ranged(0, 0, 1000)

    # Of the products. "auto" is bf16 on GPUs that have it, else fp32.
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"

    # Let torch.compile fuse the passes over the gates.
    compile: bool = False

    # Each window is made up to this much louder or softer than recorded, so that small folders are
    # learnt by heart later.
    augment_gain_db: float = ranged(0.0, 0, 40)

    # Predicted samples per window. The receptive field comes on top, before them.
    segment_seconds: float = ranged(0.5, 0.001, 60)

    learning_rate: float = ranged(1e-2, 1e-9, 10)
    warmup_steps: int = ranged(50, 0, 1e9)
    schedule: Literal["cosine", "constant"] = "cosine"
    weight_decay: float = ranged(0.01, 0, 10)
    clip_norm: float = ranged(1.0, 1e-6, 1e6)

    # Decay per step of the weights' EMA, reached gradually.
    ema_decay: float = ranged(0.999, 0, 0.999999)
    seed: int = ranged(0, 0, 2**63 - 1)

    # Whole files are held out, or the last tenth of each file over one second.
    validation: Literal["files", "tails"] = "files"
    validation_fraction: float = ranged(0.1, 0.01, 0.5)

    # At most this much audio is scored each time.
    validation_seconds: float = ranged(30.0, 0.1, 1e6)

    # Steps between validations. With each come a rendered sample and a checkpoint.
    evaluate_every: int = ranged(500, 1, 1e9)

    # A checkpoint is saved at least this often.
    checkpoint_minutes: float = ranged(5.0, 0.01, 1e6)

    # End early when this many validations in a row brought nothing better. 0: never.
    patience: int = ranged(0, 0, 1e9)

    # The last ones that are kept, and the best one besides.
    keep_checkpoints: int = ranged(3, 1, 1000)

    # Length of the sample rendered at each validation. 0 renders none.
    sample_seconds: float = ranged(1.5, 0, 60)

    # Where a recording's label comes from: its "folder", a .csv of file,label, or a pattern with
    # (?P<label>...) on its name.
    label_from: str = "folder"

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = 1 <= self.accumulate <= self.batch
        self.require(allowed, "accumulate", f"must be 1 to {self.batch:g}")
