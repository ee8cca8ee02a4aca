"""What there is to set: every setting with its default, range and meaning, read from the sections.

The text below a field is its meaning, and the range is the one that is checked.
"""

import ast
import difflib
import inspect
import json
from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from wavenet.config.checks import Checked
from wavenet.config.schema import Config

_TYPES = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    tuple[int, ...]: "list of integers",
    tuple[str, ...]: "list of texts",
}

# As many settings are proposed at the most for a word of their names.
MOST_LIKE = 3
# What other programs call a setting.
OTHER_NAMES = {
    "pretrained": "train.init_from",
    "finetune": "train.init_from",
    "lr": "train.learning_rate",
    "wd": "train.weight_decay",
    "epochs": "train.steps",
    "iterations": "train.steps",
    "max_steps": "train.steps",
    "num_steps": "train.steps",
    "grad_clip": "train.clip_norm",
    "max_grad_norm": "train.clip_norm",
    "grad_accum": "train.accumulate",
    "gradient_accumulation_steps": "train.accumulate",
    "segment_length": "train.segment_seconds",
    "segment_size": "train.segment_seconds",
    "warmup": "train.warmup_steps",
    "n_layers": "model.layers",
    "num_layers": "model.layers",
    "hidden": "model.residual_channels",
    "hidden_size": "model.residual_channels",
    "channels": "model.residual_channels",
    "quantization_channels": "model.levels",
    "num_classes": "model.levels",
    "n_mels": "model.mel_bands",
    "num_mels": "model.mel_bands",
    "hop_length": "model.frame_hop",
    "hop_size": "model.frame_hop",
    "n_fft": "model.frame_window",
    "win_length": "model.frame_window",
    "fmin": "model.mel_low_hz",
    "fmax": "model.mel_high_hz",
    "sr": "audio.sample_rate",
    "sampling_rate": "audio.sample_rate",
    "samplerate": "audio.sample_rate",
}


class Setting(NamedTuple):
    """A setting by its name in `--set`, with its type in words and its default, None where unset.

    `range` is without the unit, as "1 to 1000", or names what there is to choose from, as in
    '"files" or "tails"'; that and `unit` may be empty. `meaning` is a paragraph.
    """

    name: str
    type: str
    default: Any
    unit: str
    range: str
    meaning: str

    @property
    def rule(self) -> str:
        """The values that it may have, in words: 'integer, 1 to 1000 layers'."""
        unit = f" {self.unit}" if self.unit else ""
        kind = "one of" if self.type == "choice" else f"{self.type},"
        return f"{kind} {self.range}{unit}" if self.range else self.type


def settings(section: type[Checked] = Config) -> Iterator[Setting]:
    """The settings of a section in their order; those of `Config` are all."""
    hints, meanings = get_type_hints(section), docstrings(section)
    for f in fields(section):  # type: ignore[arg-type]
        hint, limits = hints[f.name], f.metadata.get("range")
        if isinstance(hint, type) and issubclass(hint, Checked):
            yield from settings(hint)
            continue
        name = f"{section.section}.{f.name}".lstrip(".")
        unit, values = (limits.unit, limits.listed) if limits else ("", "")
        if get_origin(hint) is Literal:
            kind = "choice"
            *others, last = (f'"{choice}"' for choice in get_args(hint))
            values = f"{', '.join(others)} or {last}"
        else:
            hints_of_value = get_args(hint) if isinstance(hint, UnionType) else (hint,)
            kind = " or ".join(_TYPES[h] for h in hints_of_value if h is not NoneType)
        yield Setting(name, kind, f.default, unit, values, meanings.get(f.name, ""))


def shown(value: Any) -> str:
    """A value as a TOML file has it; "unset" for None."""
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)


def settings_called(word: str) -> list[str]:
    """Names of settings that are called so, with a section or without, there or elsewhere.

    Failing these, of one whose name the word begins with: batch_size, train.batch.
    """
    word = word.rpartition(".")[2].lower()
    if word in OTHER_NAMES:
        return [OTHER_NAMES[word]]
    lasts = {setting.name: setting.name.rpartition(".")[2] for setting in settings()}
    same = [name for name, last in lasts.items() if last == word]
    start = [name for name, last in lasts.items() if word.startswith(f"{last}_")]
    return same or start


def settings_like(word: str) -> list[str]:
    """`settings_called`, or else the settings whose names, or words in them, are most like it."""
    if found := settings_called(word):
        return found
    lasts = {setting.name.rpartition(".")[2]: setting.name for setting in settings()}
    word = word.rpartition(".")[2].lower()
    if close := difflib.get_close_matches(word, lasts, 1, 0.6):
        return [lasts[close[0]]]
    parts = {part for last in lasts for part in last.split("_")}
    close = difflib.get_close_matches(word, parts, 1, 0.8)
    return [name for last, name in lasts.items() if set(close) & set(last.split("_"))][:MOST_LIKE]


def docstrings(owner: type) -> dict[str, str]:
    """The text that stands below each annotated name in the body of a class, by that name."""
    found = {}
    tree = ast.parse(inspect.getsource(owner)).body[0]
    for pair in pairwise(tree.body if isinstance(tree, ast.ClassDef) else ()):
        match pair:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(text))):
                found[name] = inspect.cleandoc(text)
    return found
