"""What every section of settings checks when it is made."""

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from wavenet.errors import ConfigError


@dataclass(frozen=True)
class Range:
    """The values that a number may have; `fields` gives that of a setting as metadata["range"].

    `unit` is the number's, and `zero` says what a 0 means. With `above`, `low` itself is too low.
    """

    low: float
    high: float
    unit: str = ""
    zero: str = ""
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and not (self.above and value == self.low)

    def __str__(self) -> str:
        low = f"0 ({self.zero})" if self.zero else f"{self.low:g}"
        high = "2^20" if self.high == 2**20 else f"{self.high:g}"
        both = f"above {low} and at most {high}" if self.above else f"{low} to {high}"
        return f"{both} {self.unit}".rstrip()


def ranged(default: float, low: float, high: float, unit: str = "", **more: Any) -> Any:
    """A setting that is a number within a `Range`."""
    return field(default=default, metadata={"range": Range(low, high, unit, **more)})


class Checked:
    """Common to all settings: numbers are finite and within their ranges.

    pydantic refuses unknown keys.
    """

    # What stands before the names of settings in messages, `[section]` in a file.
    section: ClassVar[str] = ""
    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{name} = {value}", "must be a finite number")
        for f in fields(self):  # type: ignore[arg-type]
            if limits := f.metadata.get("range"):
                self.require(getattr(self, f.name) in limits, f.name, f"must be {limits}")

    def require(self, ok: bool, name: str, rule: str) -> None:
        """Raise ConfigError that quotes a setting and its `rule`, unless `ok`."""
        if not ok:
            value = getattr(self, name)
            plain = list(value) if isinstance(value, tuple) else value
            raise ConfigError(f"{self.section}.{name} = {plain}".lstrip("."), rule)
