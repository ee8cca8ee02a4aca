"""A config as the text of a .toml to start from, with what every setting may be beside it."""

from collections.abc import Collection, Iterator
from typing import Any

from wavenet.config.loading import flatten
from wavenet.config.reference import Setting, settings, shown
from wavenet.config.schema import Config

# Where comments begin, unless a value is longer.
_COLUMN = 32
# Types that the range tells.
_PLAIN = ("integer", "number", "choice")


def template(config: Config, given: Collection[str] = ()) -> str:
    """The text of a file that gives an equal config.

    Settings that are `given`, by full name, or are not at their default are set; the others stand
    there as comments, with their default.
    """
    return "\n".join(_lines(flatten(config.to_dict()), given)) + "\n"


def _lines(values: dict[str, Any], given: Collection[str]) -> Iterator[str]:
    section = ""
    for setting in settings():
        own, _, name = setting.name.rpartition(".")
        if own != section:
            section = own
            yield from ("", f"[{section}]")
        value = values.get(setting.name)
        line = f"{name} = {'' if value is None else shown(value)}".rstrip()
        if setting.name not in given and value in (setting.default, _listed(setting.default)):
            line = f"# {line}"
        yield f"{line:{_COLUMN}}  # {_rule(setting)}" if (setting.type != "text") else line


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _rule(setting: Setting) -> str:
    values = f"{setting.range} {setting.unit}".strip()
    if setting.type in _PLAIN:
        return values
    return f"{setting.type}, {values}" if values else setting.type
