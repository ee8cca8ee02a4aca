"""What every section of settings checks when it is made."""

import math
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, get_args, get_origin

from wavenet.arithmetic import is_power_of_two
from wavenet.errors import ConfigError

# Bounds that are plainer as powers.
_POWERS: dict[float, str] = {2**20: "2^20", 2**63 - 1: "2^63 - 1"}


def _plain(bound: float) -> str:
    """A bound as people write it: 0.5, 65536, 1,000,000,000."""
    return _POWERS.get(bound, f"{bound:g}" if bound < 1e6 else f"{bound:,.0f}")


@dataclass(frozen=True)
class Range:
    """The values that a number may have; `fields` gives that of a setting as metadata["range"].

    `unit` is the number's, and `zero` says what a 0 means. With `above`, `low` itself is too low.
    A setting that lists numbers has up to `longest` of them, 0 for as many as its section allows.
    """

    low: float
    high: float
    unit: str = ""
    zero: str = ""
    above: bool = False
    power_of_two: bool = False
    longest: int = 0

    def __contains__(self, value: float) -> bool:
        within = self.low <= value <= self.high and not (self.above and value == self.low)
        return within and (not self.power_of_two or is_power_of_two(int(value)))

    @property
    def bounds(self) -> str:
        """In words, without the unit."""
        low = f"0 ({self.zero})" if self.zero else f"{self.low:g}"
        high = _plain(self.high)
        if self.power_of_two:
            return f"a power of two from {low} to {high}"
        return f"above {low} and at most {high}" if self.above else f"{low} to {high}"

    @property
    def listed(self) -> str:
        """`bounds`, and before them how many numbers a list may have."""
        return f"1 to {self.longest} numbers of {self.bounds}" if self.longest else self.bounds

    def __str__(self) -> str:
        return f"{self.bounds} {self.unit}".rstrip()


def ranged(default: Any, low: float, high: float, unit: str = "", **more: Any) -> Any:
    """A setting that is a number within a `Range`, or a list of such numbers."""
    return field(default=default, metadata={"range": Range(low, high, unit, **more)})


class Checked:
    """Common to all settings: of their types, and numbers finite and within their ranges.

    A config that is read from a file has its types checked by pydantic before, which also converts
    to them and refuses unknown keys.
    """

    # What stands before the names of settings in messages, `[section]` in a file.
    section: ClassVar[str] = ""
    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            if isinstance(listed := getattr(self, f.name), list):
                # Sections are frozen, and are keys of caches.
                object.__setattr__(self, f.name, tuple(listed))
            self.require(_is_of(f.type, getattr(self, f.name)), f.name, f"must be {_named(f.type)}")
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                subject = f"{self.section}.{name} = {value}".lstrip(".")
                raise ConfigError(subject, "must be a finite number")
        for f in fields(self):  # type: ignore[arg-type]
            if limits := f.metadata.get("range"):
                self._require_within(limits, f.name, getattr(self, f.name))

    def _require_within(self, limits: Range, name: str, value: Any) -> None:
        if isinstance(value, tuple):
            listed = not limits.longest or 1 <= len(value) <= limits.longest
            self.require(listed, name, f"must list 1 to {limits.longest} numbers")
            for number in value:
                self.require(number in limits, name, f"{number} is not within {limits}")
        elif value is not None:
            self.require(value in limits, name, f"must be {limits}")

    def require(self, ok: bool, name: str, rule: str) -> None:
        """Raise ConfigError that quotes a setting and its `rule`, unless `ok`."""
        if not ok:
            value = getattr(self, name)
            plain = list(value) if isinstance(value, tuple) else value
            raise ConfigError(f"{self.section}.{name} = {plain}".lstrip("."), rule)


def _is_of(kind: Any, value: Any) -> bool:
    """Whether a value is of the type that a setting is annotated with."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if isinstance(kind, UnionType):
        return any(_is_of(option, value) for option in get_args(kind))
    if get_origin(kind) is tuple:
        of_each = get_args(kind)[0]
        return isinstance(value, tuple) and all(_is_of(of_each, member) for member in value)
    return isinstance(value, {int: Integral, float: Real}.get(kind, kind))


def _named(kind: Any) -> str:
    """The type of a setting in words."""
    if get_origin(kind) is Literal or isinstance(kind, UnionType):
        *others, last = map(_named, get_args(kind))
        return f"{', '.join(others)} or {last}"
    if get_origin(kind) is tuple:
        return f"a list of {_named(get_args(kind)[0]).split()[-1]}s"
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    names[NoneType] = "None"
    return names.get(kind, kind.__name__ if isinstance(kind, type) else f'"{kind}"')
