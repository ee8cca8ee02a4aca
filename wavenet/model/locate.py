"""Which checkpoint a path or a name means: a file, a run folder, or a model that comes along."""

from pathlib import Path

from wavenet.errors import CheckpointError
from wavenet.model.checkpoint import SUFFIX, Checkpoint, load
from wavenet.system import resources


def bundled() -> dict[str, Path]:
    """Trained models that come with the program, by name: inside the wheel, or at the top of a checkout."""
    return {p.stem: p for p in sorted(resources.folder("models").glob(f"*{SUFFIX}"))}


def find(source: Path) -> Path:
    """The checkpoint file that a path means: itself, the best one of a run folder (the newest when none was validated), or one that comes
    with the program. Raises CheckpointError."""
    if not source.exists():
        ours = bundled()
        if str(source) in ours:
            return ours[str(source)]
        raise CheckpointError(
            f"{source}: no such run or checkpoint; `wavenet train` makes one, and {', '.join(ours)} comes with the program"
        )
    if not source.is_dir():
        return source
    folder = source / "checkpoints" if (source / "checkpoints").is_dir() else source
    newest = load_latest(folder)
    if newest is None:
        hint = (
            ""
            if (source / "config.toml").exists()
            else " (a run folder has config.toml and checkpoints/)"
        )
        raise CheckpointError(
            f"{source}: holds no checkpoint yet; train for longer, or name another run{hint}"
        )
    best = newest.training.best_step
    path = step_path(folder, newest.training.step if best is None else best)
    return path if path.exists() else step_path(folder, newest.training.step)


def step_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}{SUFFIX}"


def steps(folder: Path) -> list[int]:
    """Steps that have a checkpoint in `folder`, ascending."""
    found = (p.stem.removeprefix("step-") for p in folder.glob(f"step-*{SUFFIX}"))
    return sorted(int(s) for s in found if s.isdigit())


def load_latest(folder: Path, *, resume: bool = False) -> Checkpoint | None:
    """The newest checkpoint in `folder`. Raises CheckpointError that names the one before when it is damaged."""
    found = steps(folder)
    if not found:
        return None
    try:
        return load(step_path(folder, found[-1]), resume=resume)
    except CheckpointError as e:
        raise CheckpointError(
            f"{e}; delete it to use that of step {found[-2]}" if len(found) > 1 else str(e)
        ) from None
