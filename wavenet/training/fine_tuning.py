"""A run that begins with the weights of a trained model: its config, and what it records of it.

`model.pretrained` has the weights themselves.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavenet.config import AudioConfig, Config, loading
from wavenet.config.model import FOUND
from wavenet.errors import CheckpointError, ConfigError
from wavenet.generation.provenance import model_name
from wavenet.model import checkpoint, locate
from wavenet.model.checkpoint import Ancestor, Model
from wavenet.model.conditioning.registry import FRONT_ENDS

# For weights that know something, where nobody asks for another value. Rates from 1e-3 to 6e-3 end
# alike (docs/learning.md), but where mel frames are new 1e-2 is far behind (docs/conditioning.md).
RECIPE: Mapping[str, Any] = {
    "learning_rate": 3e-3,
    "warmup_steps": 20,
    "steps": 1000,
    "evaluate_every": 100,
}
# What a run has of its base's training, besides: the windows of a step.
WINDOWS = ("batch", "segment_seconds", "augment_gain_db", "augment_pitch", "input_noise")
# What a preset says of frames, in samples of its own rate.
IN_SAMPLES = ("model.frame_hop", "model.frame_window")


def named_from_anywhere(source: str) -> str:
    """The name of a bundled model as it is, and any other model by its absolute path."""
    path = Path(os.path.expanduser(source))
    return source if source in locate.bundled() and not path.exists() else str(path.resolve())


def load(source: str) -> Model:
    """The model that `train.init_from` names. Raises CheckpointError."""
    path = Path(source)
    if not path.exists() and path.is_relative_to(Path.cwd()):
        # As its user typed it.
        path = path.relative_to(Path.cwd())
    return checkpoint.load(locate.find(path))


def settings_for(config: Config | str) -> tuple[str, dict[str, Any]]:
    """Where the settings of `config` stand, and these, for a new run.

    It is whatever has any, as `locate.config_of` has it; the labels that another run or a model
    found in its recordings are not for this one. Raises ConfigError or CheckpointError.
    """
    where, nested = locate.settings_of(config)
    if isinstance(config, str) and (not where.endswith(".toml") or Path(config).is_dir()):
        for name in FOUND:
            nested.get("model", {}).pop(name, None)
    return where, nested


def config_from(
    base: Config, source: str, config: Config | str | None, overrides: Mapping[str, Any]
) -> Config:
    """The config of a run that begins from a model of `base`, which `source` names.

    The network, how recordings are read, and the windows are the base's, and the rest is `RECIPE`
    or as by default. What `config` says goes before that, but for what a preset says of `RECIPE`
    and of the network's sizes, and `overrides` before all. Raises ConfigError when that asks for
    another network.
    """
    name = model_name(Path(source))
    train = {**{key: getattr(base.train, key) for key in WINDOWS}, **RECIPE}
    nested = base.to_dict() | {"name": loading.as_name(name), "purpose": "", "train": train}
    # What is found in recordings is found in its own, but for what is a size of the base's weights.
    for setting in {*FOUND} - {"features_width"}:
        nested["model"].pop(setting, None)
    where, given = f"begun from {name}", dict[str, Any]()
    if config is not None:
        where, given = settings_for(config)
        given = loading.flatten(given)
        if config in loading.preset_names():
            if given.get("model.linear_prediction") and not base.model.linear_prediction:
                reason = f"{name} predicts audio, and a model of {config} what excites a filter"
                advice = "leave out `config`, or begin from another model"
                raise ConfigError("train.init_from", reason, advice)
            # What it says of the network's sizes gives way too. Frames stay as long in seconds.
            longer = base.audio.sample_rate / given.get(
                "audio.sample_rate", AudioConfig.sample_rate
            )
            given = {
                key: round(longer * value) if key in IN_SAMPLES else value
                for key, value in given.items()
                if key.removeprefix("train.") not in RECIPE
                and (not _is_of_network(key) or key.startswith(_may_differ(base)))
            }
    settings = {**given, **overrides, "train.init_from": source}
    new = loading.parse(loading.override(nested, settings), where, overrides)
    require_same_network(base, new, name)
    return new


def require_same_network(base: Config, new: Config, name: str) -> None:
    """Raise ConfigError when a run of `new` cannot begin with the weights of `base`."""
    may_differ = _may_differ(base)
    changes = {
        key: change
        for key, change in loading.differences(base, new).items()
        if _is_of_network(key) and not key.startswith(may_differ)
    }
    was, now = base.model.conditioning, new.model.conditioning
    if not {*was} <= {*now}:
        changes["model.conditioning"] = list(was), list(now)
    if changes:
        lines = "; ".join(loading.describe(changes))
        reason = f"the network of {name} cannot become another ({lines})"
        advice = "leave these settings as they are, or begin from nothing"
        raise ConfigError("train.init_from", reason, advice)


def _is_of_network(key: str) -> bool:
    """Whether a setting belongs to what weights are trained for."""
    return key.startswith("model.") or key == "audio.sample_rate"


def _may_differ(base: Config) -> tuple[str, ...]:
    """How settings of a network begin that a run may change which begins from `base`."""
    new_kinds = [kind.name for kind in FRONT_ENDS if not kind(base.model).channels]
    of_kinds = (f"model.{name.removesuffix('s')}" for name in new_kinds)
    may_differ = ("model.conditioning", "model.labels", "model.segment_labels", *of_kinds)
    return may_differ if base.model.follows_frames else (*may_differ, "model.frame_")


def is_origin(source: str, model: Model) -> bool:
    """Whether `source` names the weights with which the run of `model` began."""
    try:
        this = ancestry(load(source), source)[-1]
    except CheckpointError:
        return False
    return this.sha256 == model.training.ancestry[-1].sha256


def ancestry(base: Model, source: str) -> tuple[Ancestor, ...]:
    """What a run that begins from `base` comes from: the base's own ancestors, then the base."""
    digest = hashlib.sha256()
    for name, array in sorted(base.weights.items()):
        digest.update(name.encode() + array.tobytes())
    this = Ancestor(model_name(Path(source)), base.training.step, digest.hexdigest()[:16])
    return (*base.training.ancestry, this)
