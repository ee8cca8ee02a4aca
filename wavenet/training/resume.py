"""Which run is meant, what it was trained with, and whether it may go on with what is asked now."""

from dataclasses import dataclass, replace
from pathlib import Path

from wavenet.config import Config, loading
from wavenet.data import labels
from wavenet.errors import ChangedRunError, RunError
from wavenet.model import locate
from wavenet.training.run_folder import Run


@dataclass(frozen=True)
class TrainOptions:
    """What the user asked `wavenet train` for."""

    folder: Path | None = None
    config: str | None = None
    settings: tuple[str, ...] = ()
    out: Path | None = None
    stop_at: int | None = None
    device: str = "auto"
    cache: Path | None = None
    accept_changes: bool = False
    max_hours: float | None = None  # of this sitting


def open_run(request: TrainOptions) -> tuple[Run, Config]:
    """The run a request means, new or existing, and the config it asks for."""
    if request.out is None and request.folder is None:
        raise RunError("name a folder of recordings, or an existing run with --out to go on with")
    if request.out is None:
        assert request.folder is not None
        wanted = loading.load(request.config or loading.DEFAULT_PRESET, request.settings)
        run = Run(Path("runs") / f"{request.folder.resolve().name}-{wanted.name}")
    else:
        run = Run(request.out)
    if not run.exists:
        return run, with_absolute_table(
            loading.load(request.config or loading.DEFAULT_PRESET, request.settings)
        )
    old = run.config()
    if request.config is not None:
        wanted = loading.load(request.config, request.settings)
    else:
        wanted = loading.parse(
            loading.override(old.to_dict(), request.settings), str(run.config_file)
        )
    wanted = with_absolute_table(wanted)
    latest = locate.load_latest(run.checkpoints)
    if latest is not None:
        if wanted.model.label_channels and not wanted.model.labels:  # a preset does not name them
            wanted = replace(wanted, model=replace(wanted.model, labels=latest.config.model.labels))
        changes = loading.differences(latest.config, wanted)
        if fixed := [c for c in changes if c.startswith(("model.", "audio."))]:
            raise RunError(
                f"{run.folder}: was trained otherwise ({'; '.join(fixed)}), which cannot change; start a new run with another --out"
            )
        refuse_changes(run, changes, request)
    elif wanted.model.labels:
        wanted = replace(
            wanted, model=replace(wanted.model, labels=())
        )  # nothing was trained on them yet: they are read again
    return run, wanted


def with_absolute_table(wanted: Config) -> Config:
    """With the whole path of a table of labels, so that a run goes on from any folder."""
    table = Path(wanted.train.label_from).expanduser()
    if not labels.is_table(wanted.train.label_from) or not table.is_file():
        return wanted
    return replace(wanted, train=replace(wanted.train, label_from=str(table.resolve())))


def refuse_changes(run: Run, changes: list[str], request: TrainOptions) -> None:
    """Raise ChangedRunError when there are changes and nobody said that there may be."""
    if changes and not request.accept_changes:
        raise ChangedRunError(
            f"{run.folder}: would go on with changes ({'; '.join(changes)}); add --accept-changes if you mean it"
        )


def recordings_folder(request: TrainOptions, run: Run) -> Path:
    if request.folder is not None:
        return request.folder
    remembered = run.corpus().get("folder")
    if not remembered:
        raise RunError(
            f"{run.folder}: does not know its recordings; name their folder: wavenet train FOLDER --out {run.folder}"
        )
    return Path(remembered)


def changed_recordings(old: dict[str, str], new: dict[str, str]) -> str:
    """What was added, removed and changed between two {name: content hash}, in a few words."""
    kinds = {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(k for k in old.keys() & new.keys() if old[k] != new[k]),
    }
    parts = [
        f"{len(names)} {kind} ({names[0]}{', ...' if len(names) > 1 else ''})"
        for kind, names in kinds.items()
        if names
    ]
    return ", ".join(parts) or "decoded otherwise"


def changed_labels(old: dict[str, str], new: dict[str, str]) -> str:
    """Which recordings have another label now, in a few words; "" for none."""
    other = sorted(k for k in old.keys() & new.keys() if old[k] != new[k])
    return (
        f"{len(other)} relabelled ({other[0]}: {old[other[0]]} -> {new[other[0]]})" if other else ""
    )
