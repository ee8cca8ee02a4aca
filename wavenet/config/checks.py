"""What every section of settings checks when it is made."""

import math
from dataclasses import fields
from typing import Any, ClassVar

from wavenet.errors import ConfigError


def require(ok: bool, key: str, value: object, rule: str) -> None:
    if not ok:
        raise ConfigError(f"{key} = {value}: {rule}")


def is_power_of_two(n: int) -> bool:
    return n & (n - 1) == 0


class Checked:
    """Common to all settings: no NaN or infinite number, and pydantic refuses unknown keys."""

    # What stands before the names of settings in messages, `[section]` in a file.
    section: ClassVar[str] = ""
    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if isinstance(value, float):
                require(math.isfinite(value), f.name, value, "must be a finite number")

    def _require(self, ok: bool, name: str, rule: str) -> None:
        """Raise ConfigError that quotes a setting and its `rule`, unless `ok`."""
        value = getattr(self, name)
        plain = list(value) if isinstance(value, tuple) else value
        require(ok, f"{self.section}.{name}", plain, rule)
