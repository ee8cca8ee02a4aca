"""How an engine is to run: what the user chose, and whom to tell."""

from collections.abc import Callable
from dataclasses import dataclass

from wavenet.errors import EngineError
from wavenet.system.machine import cores

PRECISIONS = ("fp32", "bf16")


def say_nothing(_line: str) -> None: ...


@dataclass(frozen=True)
class EngineOptions:
    """`precision` of the weights; at most so many `threads`, 0 for as many as help; `report` is told of what takes long, line by line."""

    precision: str = "fp32"
    threads: int = 0
    report: Callable[[str], object] = say_nothing

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise EngineError(
                f"--precision {self.precision}: must be fp32, or bf16 for rounded weights, which is faster"
            )
        if not 0 <= self.threads <= 1024:
            raise EngineError(f"--threads {self.threads}: must be 0 (as many as help) to 1024")

    @property
    def most_threads(self) -> int:
        """Threads that may be used: what was asked for, or a thread for each core this process may use."""
        return self.threads or cores()
