"""Which run is meant, what it was trained with, and whether it may go on with other settings."""

from dataclasses import dataclass, replace
from pathlib import Path

from wavenet.config import Config, loading
from wavenet.data import labels
from wavenet.errors import ChangedRunError, RunError
from wavenet.model import locate
from wavenet.training.run_folder import Run


@dataclass(frozen=True)
class TrainOptions:
    """The options of `wavenet train`."""

    folder: Path | None = None
    config: str | None = None
    settings: tuple[str, ...] = ()
    out: Path | None = None
    stop_at: int | None = None
    device: str = "auto"
    cache: Path | None = None
    accept_changes: bool = False
    max_hours: float | None = None  # of this session


def open_run(options: TrainOptions) -> tuple[Run, Config]:
    """The run that the options name, new or existing, and the config to train it with.

    Raises RunError when the options name no run, or one whose network the config does not fit, and
    ChangedRunError when the config has other changes that nobody accepted.
    """
    if options.out is None and options.folder is None:
        raise RunError("name a folder of recordings, or an existing run with --out to go on with")
    if options.out is None:
        assert options.folder is not None
        config = loading.load(options.config or loading.DEFAULT_PRESET, options.settings)
        run = Run(Path("runs") / f"{options.folder.resolve().name}-{config.name}")
    else:
        run = Run(options.out)
    if not run.exists:
        config = loading.load(options.config or loading.DEFAULT_PRESET, options.settings)
        return run, with_absolute_table(config)
    old_config = run.config()
    if options.config is not None:
        config = loading.load(options.config, options.settings)
    else:
        overridden = loading.override(old_config.to_dict(), options.settings)
        config = loading.parse(overridden, str(run.config_file))
    config = with_absolute_table(config)
    latest = locate.load_latest(run.checkpoints)
    if latest is not None:
        if config.model.label_channels and not config.model.labels:
            # A preset does not name the labels.
            old_labels = latest.config.model.labels
            config = replace(config, model=replace(config.model, labels=old_labels))
        changes = loading.differences(latest.config, config)
        if unchangeable := [c for c in changes if c.startswith(("model.", "audio."))]:
            raise RunError(
                f"{run.folder}: was trained otherwise ({'; '.join(unchangeable)}), "
                "which cannot change; start a new run with another --out"
            )
        refuse_changes(run, changes, options)
    elif config.model.labels:
        # Nothing was trained on these labels yet: they are read again from the recordings.
        config = replace(config, model=replace(config.model, labels=()))
    return run, config


def with_absolute_table(config: Config) -> Config:
    """The config with the absolute path of a table of labels, so that a run resumes anywhere."""
    table = Path(config.train.label_from).expanduser()
    if not labels.is_table(config.train.label_from) or not table.is_file():
        return config
    return replace(config, train=replace(config.train, label_from=str(table.resolve())))


def refuse_changes(run: Run, changes: list[str], options: TrainOptions) -> None:
    """Raise ChangedRunError when there are changes, and no --accept-changes."""
    if changes and not options.accept_changes:
        raise ChangedRunError(
            f"{run.folder}: would go on with changes ({'; '.join(changes)}); "
            "add --accept-changes if you mean it"
        )


def recordings_folder(options: TrainOptions, run: Run) -> Path:
    """The folder of recordings in the options, or else the one that the run remembers.

    Raises RunError when neither names one.
    """
    if options.folder is not None:
        return options.folder
    remembered = run.corpus().get("folder")
    if not remembered:
        raise RunError(
            f"{run.folder}: does not know its recordings; "
            f"name their folder: wavenet train FOLDER --out {run.folder}"
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
    relabelled = sorted(k for k in old.keys() & new.keys() if old[k] != new[k])
    if not relabelled:
        return ""
    first = relabelled[0]
    return f"{len(relabelled)} relabelled ({first}: {old[first]} -> {new[first]})"
