"""Which checkpoint a path or a name means: a file, a run folder, or a bundled model."""

from pathlib import Path

from wavenet.errors import CheckpointError
from wavenet.model.checkpoint import SUFFIX, Checkpoint, load
from wavenet.system import resources


def bundled() -> dict[str, Path]:
    """Trained models that come with the program, by name.

    They lie inside the wheel, or at the top of a checkout.
    """
    return {p.stem: p for p in sorted(resources.folder("models").glob(f"*{SUFFIX}"))}


def find(source: Path) -> Path:
    """The checkpoint file that a path or the name of a bundled model means.

    A file is itself. A run folder means its best checkpoint, or the newest when none was validated.
    Raises CheckpointError.
    """
    if not source.exists():
        models = bundled()
        if str(source) in models:
            return models[str(source)]
        raise CheckpointError(
            f"{source}: no such run or checkpoint; `wavenet train` makes one, "
            f"and {', '.join(models)} comes with the program"
        )
    if not source.is_dir():
        return source
    folder = source / "checkpoints" if (source / "checkpoints").is_dir() else source
    newest = load_latest(folder)
    if newest is None:
        is_run = (source / "config.toml").exists()
        hint = "" if is_run else " (a run folder has config.toml and checkpoints/)"
        raise CheckpointError(
            f"{source}: holds no checkpoint yet; train for longer, or name another run{hint}"
        )
    best = newest.training.best_step
    path = step_path(folder, newest.training.step if best is None else best)
    return path if path.exists() else step_path(folder, newest.training.step)


def step_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / f"step-{step:08d}{SUFFIX}"


def steps(folder: Path) -> list[int]:
    """Steps that have a checkpoint in `folder`, ascending."""
    numbers = (p.stem.removeprefix("step-") for p in folder.glob(f"step-*{SUFFIX}"))
    return sorted(int(number) for number in numbers if number.isdigit())


def load_latest(folder: Path, *, resume: bool = False) -> Checkpoint | None:
    """The newest checkpoint in `folder`, or None.

    Raises CheckpointError when it is damaged, and names the one before.
    """
    saved = steps(folder)
    if not saved:
        return None
    try:
        return load(step_path(folder, saved[-1]), resume=resume)
    except CheckpointError as e:
        hint = f"; delete it to use that of step {saved[-2]}" if len(saved) > 1 else ""
        raise CheckpointError(f"{e}{hint}") from None
