"""A run that begins with the weights of a trained model: its config, and what it records of it.

`model.pretrained` has the weights themselves.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from wavenet.config import Config, TrainConfig, loading
from wavenet.errors import ConfigError
from wavenet.generation.provenance import model_name
from wavenet.model import checkpoint, locate
from wavenet.model.checkpoint import Ancestor, Checkpoint
from wavenet.model.conditioning.registry import FRONT_ENDS

# What docs/learning.md found to be right for trained weights, where nobody asks for another value.
RECIPE: Mapping[str, Any] = {
    "train.learning_rate": 3e-3,
    "train.warmup_steps": 20,
    "train.steps": 1000,
    "train.evaluate_every": 100,
}


def named_from_anywhere(source: str) -> str:
    """A model's absolute path, but for a name that is no path: that of a bundled model."""
    path = Path(source).expanduser()
    return source if path.name == source and not path.exists() else str(path.resolve())


def load(source: str) -> Checkpoint:
    """The model that `train.init_from` names. Raises CheckpointError."""
    return checkpoint.load(locate.find(Path(source)))


def config_from(
    base: Checkpoint, source: str, config: str | None, overrides: Mapping[str, Any]
) -> Config:
    """The config of a run that begins from `base`, which `source` names.

    Without `config` it is the base's, with `RECIPE` for training. Of a `config`, a preset gives
    way to the recipe and a file does not. Raises ConfigError for settings of the network that are
    not the base's.
    """
    name = model_name(Path(source))
    if config is None:
        nested = base.config.to_dict() | {"name": name, "purpose": ""}
        # Neither is the base's: the new run has other recordings.
        nested["train"] |= {"minutes": 0.0, "label_from": TrainConfig.label_from}
        overrides = {**RECIPE, **overrides}
    else:
        nested = loading.read(config)
        is_preset = config in loading.preset_names()
        given = {} if is_preset else loading.flatten(nested)
        overrides = {**{k: v for k, v in RECIPE.items() if k not in given}, **overrides}
    new = loading.parse(loading.override(nested, overrides), config or name)
    _require_same_network(base.config, new, name)
    # The labels are those of the new recordings.
    return replace(new, model=replace(new.model, labels=()))


def _require_same_network(base: Config, new: Config, name: str) -> None:
    kinds = [kind for kind in FRONT_ENDS if not kind(base.model).channels]
    may_differ = ("model.labels", *(f"model.{kind.name}_" for kind in kinds))
    changes = {
        key: change
        for key, change in loading.differences(base, new).items()
        if (key.startswith("model.") or key == "audio.sample_rate")
        and not key.startswith(may_differ)
    }
    if changes:
        lines = "; ".join(loading.describe(changes))
        reason = f"the network of {name} cannot become another ({lines})"
        raise ConfigError("train.init_from", reason, "leave these settings as they are")


def ancestry(base: Checkpoint, source: str) -> tuple[Ancestor, ...]:
    """What a run that begins from `base` comes from: the base's own ancestors, then the base."""
    digest = hashlib.sha256()
    for name, array in sorted(base.weights.items()):
        digest.update(name.encode() + array.tobytes())
    this = Ancestor(model_name(Path(source)), base.training.step, digest.hexdigest()[:16])
    return (*base.training.ancestry, this)
