"""Which checkpoint or config a path or a name means: a file, a run folder, a bundled model."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavenet.config import Config, loading
from wavenet.errors import CheckpointError, ConfigError
from wavenet.model.checkpoint import SUFFIX, Model, load
from wavenet.system import resources
from wavenet.system.text import listed


def bundled() -> dict[str, Path]:
    """Trained models that come with the program, by name.

    They lie inside the wheel, or at the top of a checkout.
    """
    return {p.stem: p for p in sorted(resources.folder("models").glob(f"*{SUFFIX}"))}


def is_run(path: Path) -> bool:
    """Whether a path is a run folder, which training makes.

    It has checkpoints/, and config.toml. That may have been lost where there is a checkpoint.
    """
    folder = path / "checkpoints"
    return folder.is_dir() and ((path / "config.toml").is_file() or bool(steps(folder)))


def has_config(run: Path) -> bool:
    """Whether the config.toml of a run folder is there, and not empty."""
    try:
        return bool((run / "config.toml").read_bytes().strip())
    except FileNotFoundError:
        return False
    except OSError:
        # Whoever reads it will say why.
        return True


def config_of(source: Config | str | None, overrides: Mapping[str, Any]) -> tuple[str, Config]:
    """The name and the config of what `source` means; of the usual preset for None.

    It may be a preset, a .toml file, a run folder, a checkpoint or a bundled model, or a config
    itself. Raises ConfigError, or CheckpointError for a checkpoint that cannot be read.
    """
    source = source or loading.DEFAULT_PRESET
    where, nested = settings_of(source)
    name = source if isinstance(source, str) else source.name
    return name, loading.parse(loading.override(nested, overrides), where, overrides)


def settings_of(source: Config | str) -> tuple[str, dict[str, Any]]:
    """Where the settings of a `source` stand, as in `config_of`, and these, by section.

    Those of a file are not checked. Raises ConfigError or CheckpointError.
    """
    if isinstance(source, Config):
        return "`config`", source.to_dict()
    path = Path(source)
    is_folder = path.is_dir() and source not in loading.preset_names()
    if is_folder and has_config(path):
        return str(path / "config.toml"), loading.read(path / "config.toml")
    if path.suffix == SUFFIX or source in bundled() or (is_folder and is_run(path)):
        return source, load(find(path), arrays=False).config.to_dict()
    if is_folder:
        advice = "name a preset, a .toml file, a run or a checkpoint"
        raise ConfigError(path, "is a folder without config.toml, so not a run", advice)
    return str(loading.path_of(source)), loading.read(source)


def find(source: Path) -> Path:
    """The checkpoint file that a path or the name of a bundled model means.

    A file is itself. A run folder means its best checkpoint, or the newest when none was validated.
    Raises CheckpointError.
    """
    if not source.exists():
        models = bundled()
        if str(source) in models:
            return models[str(source)]
        if str(source) in loading.preset_names():
            advice = "train one with it, or take demo-voice"
            raise CheckpointError(source, "is a preset, without weights", advice)
        close = difflib.get_close_matches(source.name, models, 1, 0.6)
        advice = f"`wavenet train` makes one, and {listed(models)} come with the program"
        if close:
            advice = f"did you mean {close[0]}?"
        raise CheckpointError(source, "no such run or checkpoint", advice)
    if not source.is_dir():
        return source
    folder = source / "checkpoints" if (source / "checkpoints").is_dir() else source
    newest = load_latest(folder)
    if newest is None:
        hint = "" if is_run(source) else " (a run folder has config.toml and checkpoints/)"
        advice = f"train for longer, or name another run{hint}"
        raise CheckpointError(source, "holds no checkpoint yet", advice)
    best = newest.training.best_step
    path = step_path(folder, newest.training.step if best is None else best)
    return path if path.exists() else step_path(folder, newest.training.step)


def step_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies, or is to lie.

    Somebody may have renamed it, to step-6.safetensors for one.
    """
    usual = folder / f"step-{step:08d}{SUFFIX}"
    return usual if usual.exists() else _saved(folder).get(step, usual)


def steps(folder: Path) -> list[int]:
    """Steps that have a checkpoint in `folder`, ascending."""
    return sorted(_saved(folder))


def _saved(folder: Path) -> dict[int, Path]:
    """The checkpoints in `folder`, by their steps."""
    numbers = {p: p.stem.removeprefix("step-") for p in folder.glob(f"step-*{SUFFIX}")}
    return {int(number): path for path, number in numbers.items() if number.isdecimal()}


def load_latest(folder: Path, *, resume: bool = False, arrays: bool = True) -> Model | None:
    """The newest checkpoint in `folder`, or None; `resume` and `arrays` as in `checkpoint.load`.

    Raises CheckpointError when it is damaged, and names the one before.
    """
    saved = steps(folder)
    if not saved:
        return None
    try:
        return load(step_path(folder, saved[-1]), resume=resume, arrays=arrays)
    except CheckpointError as e:
        if len(saved) == 1:
            raise
        hint = f"delete it to use that of step {saved[-2]}"
        advice = f"{e.advice}; {hint}" if e.advice else hint
        raise CheckpointError(e.subject, e.reason, advice) from None
