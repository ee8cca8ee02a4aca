"""Settings of earlier versions, and what becomes of them.

Every checkpoint and run folder holds all settings of the version that wrote it, and unknown ones
are refused. So whoever renames a setting or gives one up adds it to `LEGACY`, and old files go on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wavenet.errors import ConfigError


@dataclass(frozen=True)
class Renamed:
    """The setting is called `to` now, in the same section; `translate` gives its new value."""

    to: str
    translate: Callable[[Any], Any] = lambda value: value


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
    "model.mel_hop": Renamed("model.frame_hop"),
    "model.mel_window": Renamed("model.frame_window"),
    "model.mel_context": Renamed("model.frame_context"),
    "model.mel_channels": Renamed("model.frame_channels"),
}


def current(
    key: str, value: Any, where: str, legacy: Mapping[str, Renamed | Retired] = LEGACY
) -> dict[str, Any]:
    """A setting as it is called and meant now, {key: value}; empty for one that may be left out.

    Raises ConfigError that names `where` and the setting, for one that cannot go on.
    """
    entry = legacy.get(key)
    if isinstance(entry, Renamed):
        return {entry.to: entry.translate(value)}
    if entry is None:
        return {key: value}
    if value != entry.default:
        raise ConfigError(where, f"{key} = {value}: is no longer there", entry.instead)
    return {}


def modernised(
    nested: Mapping[str, Any], where: str, legacy: Mapping[str, Renamed | Retired] = LEGACY
) -> dict[str, Any]:
    """A copy of a config's nested dict in which nothing has an old name.

    Raises ConfigError that names `where` and the setting.
    """
    if not isinstance(nested, Mapping):
        raise ConfigError(where, "is not a table of settings")
    result = {k: dict(v) if isinstance(v, Mapping) else v for k, v in nested.items()}
    for old in legacy:
        section, _, name = old.partition(".")
        settings = result.get(section)
        if not isinstance(settings, dict) or name not in settings:
            continue
        for key, value in current(old, settings.pop(name), where, legacy).items():
            new_name = key.partition(".")[2]
            if new_name in settings:
                raise ConfigError(where, f"{old} is called {key} now: give one of the two")
            settings[new_name] = value
    return result
