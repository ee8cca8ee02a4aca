"""Settings of earlier versions, and what becomes of them.

Every checkpoint and run folder holds all settings of the version that wrote it, and unknown ones
are refused. So whoever renames a setting or gives one up adds it to `LEGACY`, and old files go on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wavenet.errors import ConfigError


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Renamed:
    """The setting is called `to` now, in the same section; `translate` gives its new value."""

    to: str
    translate: Callable[[Any], Any] = _same


@dataclass(frozen=True)
class Retired:
    """The setting is gone.

    A file that holds its `default` goes on without it. Another value asked for what is no longer
    there, and is refused: `instead` says what to do.
    """

    default: Any
    instead: str


LEGACY: dict[str, Renamed | Retired] = {
    "train.average_decay": Renamed("train.ema_decay"),
}


def current_name(key: str, legacy: Mapping[str, Renamed | Retired] = LEGACY) -> str:
    """What a setting is called now."""
    entry = legacy.get(key)
    return entry.to if isinstance(entry, Renamed) else key


def modernised(
    nested: Mapping[str, Any], where: str, legacy: Mapping[str, Renamed | Retired] = LEGACY
) -> dict[str, Any]:
    """A copy of a config's nested dict in which nothing has an old name.

    Raises ConfigError that names `where` and the setting.
    """
    if not isinstance(nested, Mapping):
        raise ConfigError(f"{where}: is not a table of settings")
    result = {k: dict(v) if isinstance(v, Mapping) else v for k, v in nested.items()}
    for key, entry in legacy.items():
        section, _, name = key.partition(".")
        settings = result.get(section)
        if not isinstance(settings, dict) or name not in settings:
            continue
        value = settings.pop(name)
        if isinstance(entry, Renamed):
            to = entry.to.partition(".")[2]
            if to in settings:
                raise ConfigError(f"{where}: {key} is called {entry.to} now: give one of the two")
            settings[to] = entry.translate(value)
        elif value != entry.default:
            raise ConfigError(f"{where}: {key} = {value}: is no longer there; {entry.instead}")
    return result
