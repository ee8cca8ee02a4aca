"""Presets, TOML files and `key=value` overrides, read into a checked `Config`."""

import difflib
import re
import reprlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wavenet.config.schema import Config
from wavenet.errors import ConfigError
from wavenet.system import resources

DEFAULT_PRESET = "small"
SECTIONS = ("audio", "model", "train")
_CYCLE = (
    "model.layers",
    "model.dilation_cycle",
    "model.growth",
)  # what an explicit list of dilations replaces


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"layers": 3}} -> {"model.layers": 3}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= (
            flatten(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}": value}
        )
    return flat


def differences(old: Config, new: Config) -> list[str]:
    """One line per setting that differs, as `train.steps: 100 -> 200`. Name and purpose do not count."""
    a, b = flatten(old.to_dict()), flatten(new.to_dict())
    keys = [
        k
        for k in sorted(a.keys() | b.keys())
        if k not in ("name", "purpose") and a.get(k) != b.get(k)
    ]
    return [f"{k}: {a.get(k, 'unset')} -> {b.get(k, 'unset')}" for k in keys]


# --- reading ---------------------------------------------------------------------------------------------------------


def preset_folder() -> Path:
    """Where the presets lie: inside the wheel, or at the top of a checkout."""
    return resources.folder("presets")


def preset_names() -> list[str]:
    return sorted(p.stem for p in preset_folder().glob("*.toml"))


def load(source: str | Path, overrides: Iterable[str] = ()) -> Config:
    """A preset by name or a TOML file, with `key=value` overrides. Raises ConfigError."""
    path = preset_folder() / f"{source}.toml" if str(source) in preset_names() else Path(source)
    try:
        nested = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if path.suffix == ".toml":
            raise ConfigError(f"{path}: no such config file") from None
        hint = (
            nearest(str(source), preset_names())
            or "`wavenet presets` lists them, or give a .toml file"
        )
        raise ConfigError(f"{source}: no such preset; {hint}") from None
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(
            f"{path}: cannot be read as a config file ({getattr(e, 'strerror', None) or 'not text'})"
        ) from None
    except (
        ValueError,
        RecursionError,
    ) as e:  # TOMLDecodeError among them; numbers and nesting without end are the others
        raise ConfigError(f"{path}: not a TOML file ({e})") from None
    return parse(
        {"name": re.sub(r"[^\w.-]", "-", path.stem)} | override(nested, overrides), str(path)
    )


def override(nested: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Apply `--set key=value` settings to a nested dict. Values are TOML; a bare word is a string. Raises ConfigError."""
    result = {k: dict(v) if isinstance(v, dict) else v for k, v in nested.items()}
    settings = list(settings)
    lists_dilations = any(s.partition("=")[0].strip() == "model.dilations" for s in settings)
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals:
            raise ConfigError(
                f"--set {setting}: write it as key=value, for example train.learning_rate=3e-4"
            )
        if key not in known_keys():
            raise ConfigError(
                f"{key}: unknown setting; {nearest(key, known_keys()) or '`wavenet presets` shows where they are documented'}"
            )
        section, _, name = key.rpartition(".")
        if key in _CYCLE and not lists_dilations and isinstance(result.get("model"), dict):
            result["model"].pop(
                "dilations", None
            )  # asking for a cycle undoes an inherited explicit list
        target = result.setdefault(section, {}) if section else result
        if not isinstance(target, dict):
            raise ConfigError(f"{section}: must be a table of settings")
        target[name] = _toml_value(text.strip())
    return result


def parse(nested: Mapping[str, Any], where: str = "config") -> Config:
    """Build a checked Config from a plain dict. Raises ConfigError naming `where` and the setting."""
    import pydantic

    try:
        return pydantic.TypeAdapter(Config).validate_python(dict(nested))
    except pydantic.ValidationError as e:
        first = e.errors()[0]
        # of a setting that may be a number or a list there are two complaints: that about a place in the list says more
        problem = max(
            (p for p in e.errors() if p["loc"][:2] == first["loc"][:2]), key=lambda p: len(p["loc"])
        )
        key = ".".join(
            str(part) for part in problem["loc"] if not str(part).startswith(("int", "tuple["))
        )
        if problem["type"] == "unexpected_keyword_argument":
            raise ConfigError(
                f"{where}: {key}: unknown setting; {nearest(key, known_keys()) or 'see configs/ for all of them'}"
            ) from None
        raise ConfigError(
            f"{where}: {key} = {reprlib.repr(problem['input'])}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"
        ) from None
    except ConfigError as e:
        raise ConfigError(f"{where}: {e}") from None


@cache
def known_keys() -> tuple[str, ...]:
    keys: list[str] = []
    for f in fields(Config):
        section = f.default_factory() if callable(f.default_factory) else None
        keys += (
            [f"{f.name}.{s.name}" for s in fields(section)] if is_dataclass(section) else [f.name]
        )
    return tuple(keys)


def nearest(word: str, known: Iterable[str]) -> str | None:
    known = list(known)
    match = difflib.get_close_matches(word, [*known, *SECTIONS], 1, 0.6)
    if not match:  # a right name without its section, as in `layers`
        match = [k for k in known if k.rpartition(".")[2] == word.rpartition(".")[2]][:1]
    return f"did you mean {match[0]}?" if match else None


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
