"""Presets, TOML files and `key=value` overrides, read into a checked `Config`."""

import difflib
import re
import reprlib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wavenet.config.legacy import current, modernised
from wavenet.config.schema import Config
from wavenet.errors import ConfigError
from wavenet.system import resources

DEFAULT_PRESET = "small"
SECTIONS = ("audio", "model", "train")

# The settings that an explicit list of dilations replaces.
_CYCLE = ("model.layers", "model.dilation_cycle", "model.growth")


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"layers": 3}} -> {"model.layers": 3}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(old: Config, new: Config) -> list[str]:
    """One line per setting that differs, as `train.steps: 100 -> 200`.

    The config's name and purpose do not count.
    """
    before, after = flatten(old.to_dict()), flatten(new.to_dict())
    keys = sorted((before.keys() | after.keys()) - {"name", "purpose"})
    return [
        f"{k}: {before.get(k, 'unset')} -> {after.get(k, 'unset')}"
        for k in keys
        if before.get(k) != after.get(k)
    ]


def preset_folder() -> Path:
    """Where the presets lie: inside the wheel, or at the top of a checkout."""
    return resources.folder("presets")


def preset_names() -> list[str]:
    return sorted(p.stem for p in preset_folder().glob("*.toml"))


def load(source: str | Path, overrides: Iterable[str] = ()) -> Config:
    """A preset by name or a TOML file, with `key=value` overrides. Raises ConfigError."""
    is_preset = str(source) in preset_names()
    path = preset_folder() / f"{source}.toml" if is_preset else Path(source)
    try:
        nested = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if path.suffix == ".toml":
            raise ConfigError(f"{path}: no such config file") from None
        hint = nearest(str(source), preset_names())
        hint = hint or "`wavenet presets` lists them, or give a .toml file"
        raise ConfigError(f"{source}: no such preset; {hint}") from None
    except (OSError, UnicodeDecodeError) as e:
        reason = getattr(e, "strerror", None) or "not text"
        raise ConfigError(f"{path}: cannot be read as a config file ({reason})") from None
    except (ValueError, RecursionError) as e:
        # TOMLDecodeError is a ValueError, as is a number of too many digits. Endless nesting makes
        # the parser recurse too deeply.
        raise ConfigError(f"{path}: not a TOML file ({e})") from None
    name = re.sub(r"[^\w.-]", "-", path.stem)
    current = modernised(nested, str(path))
    return parse({"name": name} | override(current, overrides), str(path))


def override(nested: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """A copy of a nested dict with `--set key=value` settings applied.

    Values are TOML; a bare word is a string. Raises ConfigError.
    """
    result = {k: dict(v) if isinstance(v, dict) else v for k, v in nested.items()}
    settings = list(settings)
    lists_dilations = any(s.partition("=")[0].strip() == "model.dilations" for s in settings)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(
                f"--set {setting}: write it as key=value, for example train.learning_rate=3e-4"
            )
        today = current(key.strip(), _toml_value(text.strip()), f"--set {setting}")
        if today is None:
            continue
        key, value = today
        if key not in known_keys():
            hint = nearest(key, known_keys())
            hint = hint or "`wavenet presets` shows where they are documented"
            raise ConfigError(f"{key}: unknown setting; {hint}")
        section, _, name = key.rpartition(".")
        # Whoever asks for a cycle undoes the explicit list of dilations that the file may hold.
        if key in _CYCLE and not lists_dilations and isinstance(result.get("model"), dict):
            result["model"].pop("dilations", None)
        target = result.setdefault(section, {}) if section else result
        if not isinstance(target, dict):
            raise ConfigError(f"{section}: must be a table of settings")
        target[name] = value
    return result


def parse(nested: Mapping[str, Any], where: str = "config") -> Config:
    """A checked Config from a plain dict. Raises ConfigError that names `where` and the setting."""
    import pydantic

    current = modernised(nested, where)
    try:
        return pydantic.TypeAdapter(Config).validate_python(current)
    except pydantic.ValidationError as e:
        raise ConfigError(f"{where}: {_explain(e.errors())}") from None
    except ConfigError as e:
        raise ConfigError(f"{where}: {e}") from None


def _explain(errors: Sequence[Any]) -> str:
    """The first setting that pydantic complains about, and the complaint, in one line."""
    section_and_name = errors[0]["loc"][:2]
    # There are two complaints about a setting that may be a number or a list. The one about a place
    # in the list says more, and has the longer location.
    same_setting = [e for e in errors if e["loc"][:2] == section_and_name]
    problem = max(same_setting, key=lambda e: len(e["loc"]))
    # Pydantic puts the branch of a union, such as `int` or `tuple[int, ...]`, into the location.
    location = [str(part) for part in problem["loc"]]
    key = ".".join(part for part in location if not part.startswith(("int", "tuple[")))
    if problem["type"] == "unexpected_keyword_argument":
        hint = nearest(key, known_keys()) or "see configs/ for all of them"
        return f"{key}: unknown setting; {hint}"
    message = problem["msg"]
    return f"{key} = {reprlib.repr(problem['input'])}: {message[:1].lower()}{message[1:]}"


@cache
def known_keys() -> tuple[str, ...]:
    """Every setting by its full name, such as `train.steps`."""
    keys: list[str] = []
    for f in fields(Config):
        section = f.default_factory() if callable(f.default_factory) else None
        if is_dataclass(section):
            keys += [f"{f.name}.{s.name}" for s in fields(section)]
        else:
            keys.append(f.name)
    return tuple(keys)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """A question for the user, "did you mean ...?", or None when nothing known resembles `word`."""
    known = list(known)
    match = difflib.get_close_matches(word, [*known, *SECTIONS], 1, 0.6)
    if not match:
        # It may be a right name without its section, as in `layers`.
        match = [k for k in known if k.rpartition(".")[2] == word.rpartition(".")[2]][:1]
    return f"did you mean {match[0]}?" if match else None


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
