"""Presets, TOML files and overrides, read into a checked `Config`.

Overrides are new values of settings by their full names, as in {"train.steps": 100}.
"""

import difflib
import os
import re
import reprlib
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from wavenet.config.legacy import current, modernised
from wavenet.config.model import LABELS, WIDTHS, ModelConfig
from wavenet.config.reference import settings, settings_called, settings_like
from wavenet.config.schema import Config
from wavenet.errors import ConfigError, UsageError
from wavenet.system import resources
from wavenet.system.files import given_path

DEFAULT_PRESET = "small"
SECTIONS = ("audio", "model", "train")

# Where somebody finds the setting whose name is like no other.
_ALL = "`wavenet settings` lists every one"

# The settings that an explicit list of dilations replaces.
_CYCLE = ("model.layers", "model.dilation_cycle", "model.growth")


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"layers": 3}} -> {"model.layers": 3}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def differences(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """The old and the new value of every setting that differs, by name; None where it is unset.

    The config's name and purpose do not count.
    """
    before, after = flatten(old.to_dict()), flatten(new.to_dict())
    keys = sorted((before.keys() | after.keys()) - {"name", "purpose"})
    pairs = {key: (before.get(key), after.get(key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def describe(differences: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """A line for each of `differences`, such as `train.steps: 100 -> 200`."""
    return [f"{key}: {_shown(was)} -> {_shown(now)}" for key, (was, now) in differences.items()]


def _shown(value: Any) -> Any:
    return "unset" if value is None or value == "" else value


def preset_folder() -> Path:
    """Where the presets lie: inside the wheel, or at the top of a checkout."""
    return resources.folder("presets")


def preset_names() -> list[str]:
    """The presets that `load` knows by name.

    >>> import wavenet
    >>> "tiny" in wavenet.preset_names()
    True
    """
    return sorted(p.stem for p in preset_folder().glob("*.toml"))


def load(source: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """A preset by name or a TOML file, with overrides: settings by their full names.

    Raises ConfigError for a file that is none, an unknown setting or a value out of range, and
    UsageError for what is no path.

    >>> import wavenet
    >>> wavenet.load_config("paper", {"model.layers": 20}).model.receptive_field
    2047
    """
    given_path("source", source)
    overrides = require_overrides(overrides)
    return parse(override(read(source), overrides), str(path_of(source)), overrides)


# What `wavenet` calls it.
load_config = load


def require_overrides(overrides: Any) -> Mapping[str, Any]:
    """The overrides, {} for None. Raises UsageError for what is no mapping."""
    if overrides is not None and not isinstance(overrides, Mapping):
        rule = 'must be settings by their full names, as in {"train.steps": 100}'
        raise UsageError("overrides", f"of type {type(overrides).__name__}", rule)
    return overrides or {}


def model_of(config: ModelConfig | Config | str) -> ModelConfig:
    """The sizes of a network: `config` itself, those of a whole config, or those of a preset.

    Raises ConfigError for an unknown preset, UsageError for anything else.
    """
    whole = load(config) if isinstance(config, str) else config
    model = whole.model if isinstance(whole, Config) else whole
    if not isinstance(model, ModelConfig):
        kind = f"of type {type(config).__name__}"
        rule = "must be a ModelConfig, a Config, or the name of a preset"
        raise UsageError("config", kind, rule)
    return model


def read(source: str | Path) -> dict[str, Any]:
    """The settings that a preset or a TOML file gives, not checked, and its name.

    Raises ConfigError.
    """
    path = path_of(source)
    try:
        nested = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        if path.suffix == ".toml":
            raise ConfigError(path, "no such config file") from None
        hint = "`wavenet presets` lists them, or give a .toml file"
        hint = nearest(str(source), preset_names()) or hint
        raise ConfigError(source, "no such preset", hint) from None
    except UnicodeDecodeError:
        raise ConfigError(path, "not text in UTF-8", "save it as UTF-8") from None
    except OSError as e:
        raise ConfigError(path, f"cannot be read as a config file ({e.strerror or e})") from None
    except (ValueError, RecursionError) as e:
        # TOMLDecodeError is a ValueError, as is a number of too many digits. Endless nesting makes
        # the parser recurse too deeply.
        raise ConfigError(path, f"not a TOML file ({e})") from None
    return {"name": as_name(path.stem)} | modernised(nested, str(path))


def as_name(text: str) -> str:
    """A text as the name of a config may be: letters, digits, dots and dashes."""
    return re.sub(r"^\W|[^\w.-]", "-", text).lstrip("-.") or "model"


def path_of(source: str | Path) -> Path:
    """The file that a source means: that of a preset, or of its own name."""
    is_preset = str(source) in preset_names()
    own = Path(os.path.expanduser(source))
    return preset_folder() / f"{source}.toml" if is_preset else own


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Overrides from texts such as `train.steps=100`, whose values are TOML or bare words.

    Of several for one setting the last counts. Raises UsageError for a text of another form, and
    ConfigError for a setting that is no longer there.
    """
    overrides: dict[str, Any] = {}
    lists = {setting.name for setting in settings() if setting.type == "list of texts"}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            example = "for example train.learning_rate=3e-4"
            raise UsageError("set", text, f"write it as key=value, {example}")
        new = _toml_value(value.strip())
        if key.strip() in lists and isinstance(new, str):
            new = [word.strip() for word in new.split(",") if word.strip()]
        overrides |= current(key.strip(), new, f"`set` {text}")
    return overrides


def override(nested: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a config's nested dict with overrides applied. Raises ConfigError."""
    result = {k: dict(v) if isinstance(v, Mapping) else v for k, v in nested.items()}
    todays = [current(key, value, key) for key, value in overrides.items()]
    for key, value in (item for today in todays for item in today.items()):
        if key not in known_keys():
            raise ConfigError(key, "unknown setting", _instead(key))
        section, _, name = key.rpartition(".")
        target = result.setdefault(section, {}) if section else result
        if not isinstance(target, dict):
            raise ConfigError(section, "must be a table of settings")
        # Whoever asks for a cycle undoes the explicit list of dilations that the file may hold.
        if key in _CYCLE and "model.dilations" not in overrides:
            target.pop("dilations", None)
        target[name] = value
    _agree(result.get("model"), overrides)
    return result


def _agree(model: Any, overrides: Mapping[str, Any]) -> None:
    """Bring the list of what a network follows and their widths together, as overrides ask."""
    if not isinstance(model, dict):
        return
    for kind, (name, usual) in WIDTHS.items():
        followed = model.get("conditioning")
        if "model.conditioning" in overrides and f"model.{name}" not in overrides:
            if isinstance(followed, list | tuple):
                model[name] = (model.get(name) or usual) if kind in followed else 0
        elif f"model.{name}" in overrides and not model[name] and isinstance(followed, list):
            model["conditioning"] = [other for other in followed if other != kind]
    # Labels that were found go with the kind that they are of.
    followed = model.get("conditioning")
    asked = {"model.conditioning", "model.label_channels"} & {*overrides}
    if asked and isinstance(followed, list | tuple):
        for kind, found in LABELS.items():
            if kind not in followed and f"model.{found}" not in overrides:
                model.pop(found, None)


def parse(
    nested: Mapping[str, Any], where: str = "config", overrides: Collection[str] = ()
) -> Config:
    """A checked Config from a plain dict. Raises ConfigError that names `where` and the setting.

    Settings of the names in `overrides` were not given there, so of them it names the setting only.
    """
    import pydantic

    current = modernised(nested, where)
    try:
        return pydantic.TypeAdapter(Config).validate_python(current)
    except pydantic.ValidationError as e:
        error = _explained(e.errors())
    except ConfigError as e:
        error = e
    # The setting, or a place in the list that it is.
    name = re.sub(r"(\.\d+)? = .*", "", str(error.subject), flags=re.DOTALL)
    raise error if name in overrides else error.within(where)


def _explained(errors: Sequence[Any]) -> ConfigError:
    """An error that names the first setting that pydantic complains about."""
    section_and_name = errors[0]["loc"][:2]
    # There are two complaints about a setting that may be a number or a list. The one about a place
    # in the list says more, and has the longer location.
    same_setting = [e for e in errors if e["loc"][:2] == section_and_name]
    problem = max(same_setting, key=lambda e: len(e["loc"]))
    # Pydantic puts the branch of a union, such as `int` or `tuple[int, ...]`, into the location.
    location = map(str, problem["loc"])
    key = ".".join(part for part in location if not part.startswith(("int", "tuple[")))
    if problem["type"] == "unexpected_keyword_argument":
        return ConfigError(key, "unknown setting", _instead(key))
    message = problem["msg"][:1].lower() + problem["msg"][1:]
    if problem["type"] == "tuple_type":
        kind = next((setting.type for setting in settings() if setting.name == key), "list")
        message = f"must be a {kind}"
    return ConfigError(f"{key} = {reprlib.repr(problem['input'])}", message)


@cache
def known_keys() -> tuple[str, ...]:
    """Every setting by its full name, such as `train.steps`."""
    return tuple(flatten(asdict(Config())))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """A question for the user, "did you mean ...?", or None when nothing known resembles `word`."""
    match = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f"did you mean {match[0]}?" if match else None


def _instead(key: str) -> str:
    """What to do instead of giving a setting of this name, which there is not."""
    section = None if settings_called(key) or "." in key else nearest(key, SECTIONS)
    found = settings_like(key)
    return section or (f"did you mean {' or '.join(found)}?" if found else _ALL)


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
