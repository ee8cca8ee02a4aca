"""How an engine is to run: what the user chose, and where to report what takes long."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from wavenet.errors import UsageError
from wavenet.model.arguments import require_integer
from wavenet.system.machine import cores
from wavenet.system.notices import tell

PRECISIONS = ("fp32", "bf16")


def say_nothing(_line: str) -> None: ...


@dataclass(frozen=True)
class EngineOptions:
    """What an engine may use. Raises UsageError for values out of range.

    `precision` is that of the weights: fp32, bf16, or auto, which is bf16 in every engine that can
    round weights. `threads` is the largest number of threads, 0 for as many as help. `report` is
    called with a line of text about whatever takes long; by default see `wavenet.system.notices`.
    An engine that may use several threads tries now and then whether one is faster; `always_split`
    shares the streams of a batch among all of them without trying, since a trial that fails makes
    those that are heard meanwhile wait.

    >>> import wavenet
    >>> wavenet.EngineOptions("bf16", threads=1).most_threads
    1
    """

    precision: str = "fp32"
    threads: int = 0
    report: Callable[[str], object] = tell
    always_split: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("auto", *PRECISIONS):
            rule = "must be fp32, or bf16 (auto) for rounded weights, which is faster"
            raise UsageError("precision", self.precision, rule)
        require_integer("threads", self.threads, 0, 1024, "must be 0 (as many as help) to 1024")

    @property
    def most_threads(self) -> int:
        """The number of threads the user allows, by default one for each core of this process."""
        return self.threads or cores()

    def for_engine(self, *, rounds_weights: bool) -> "EngineOptions":
        """With auto decided for an engine that can round weights, or cannot."""
        if self.precision != "auto":
            return self
        return replace(self, precision="bf16" if rounds_weights else "fp32")


DEFAULTS = EngineOptions()
