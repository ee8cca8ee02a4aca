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

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if isinstance(value, float):
                require(math.isfinite(value), f.name, value, "must be a finite number")
