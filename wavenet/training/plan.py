"""What a session of training is to do: which run, with which config, on which recordings.

Rank 0 resolves it from what the user asked for, and every rank follows it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wavenet.config import Config, loading
from wavenet.data.corpus import Corpus
from wavenet.data.labels import is_table
from wavenet.errors import ChangedRunError, ConfigError, RunError, UsageError
from wavenet.model import locate
from wavenet.model.conditioning.registry import front_ends
from wavenet.training.run_folder import Run


@dataclass(frozen=True)
class Plan:
    """One session of training, resolved and checked."""

    run: Run
    config: Config
    # Their folder, in the words of the user: on each machine it is looked for in its own place.
    recordings: Path
    until: int  # step
    accept_changes: bool

    def refuse(self, changes: Mapping[str, Any], recordings: str = "") -> None:
        """Raise ChangedRunError for changes of settings or `recordings` that nobody accepted."""
        lines = loading.describe(changes)
        if recordings:
            lines.append(f"recordings: {recordings}")
            changes = {**changes, "recordings": recordings}
        if lines and not self.accept_changes:
            reason = f"would go on with changes ({'; '.join(lines)})"
            advice = "add `accept_changes` if you mean it"
            raise ChangedRunError(self.run.folder, reason, advice, changes)


def make_plan(
    folder: Path | None,
    *,
    config: str | None,
    overrides: Mapping[str, Any],
    out: Path | None,
    stop_at: int | None,
    max_hours: float | None,
    accept_changes: bool,
    world_size: int,
) -> Plan:
    """Resolve what the user asked for; the parameters are those of `session.train`.

    Raises UsageError and ConfigError for what cannot be, RunError when it names no run or one whose
    network the config does not fit, and ChangedRunError for other changes that nobody accepted.
    """
    if stop_at is not None and stop_at < 1:
        raise UsageError("stop_at", stop_at, "must be a step from 1 on")
    if max_hours is not None and not 0 < max_hours < math.inf:
        raise UsageError("max_hours", f"{max_hours:g}", "must be above 0")
    run = _named_run(folder, config, overrides, out)
    resolved, changes = _config_for(run, config, overrides)
    until = min(resolved.train.steps, stop_at or resolved.train.steps)
    recordings = folder or run.corpus().get("folder")
    if not recordings:
        raise RunError(run.folder, "does not know its recordings", "name their `folder`")
    plan = Plan(run, resolved, Path(recordings), until, accept_changes)
    plan.refuse(changes)
    if "train.label_from" in overrides and not resolved.model.label_channels:
        advice = "use `config` voices or `set` model.label_channels=16"
        raise ConfigError("train.label_from", "this configuration takes no labels", advice)
    if resolved.train.batch < world_size:
        reason = f"leaves some of {world_size} processes without a window"
        raise ConfigError(f"train.batch = {resolved.train.batch}", reason, "raise it")
    for front_end in front_ends(resolved.model):
        front_end.check(resolved.audio.sample_rate)
    run.check()
    return plan


def _named_run(
    folder: Path | None, config: str | None, overrides: Mapping[str, Any], out: Path | None
) -> Run:
    if out is not None:
        return Run(out)
    if folder is None:
        reason = "name a folder of recordings, or an existing run with `out` to go on with"
        raise RunError("", reason)
    name = loading.load(config or loading.DEFAULT_PRESET, overrides).name
    return Run(Path("runs") / f"{folder.resolve().name}-{name}")


def _config_for(
    run: Run, config: str | None, overrides: Mapping[str, Any]
) -> tuple[Config, dict[str, tuple[Any, Any]]]:
    """The config to train a run with, and how it differs from that of the run's last checkpoint.

    Raises RunError for a difference that no run can go on with.
    """
    if config is None and run.exists:
        nested = loading.override(run.config().to_dict(), overrides)
        new = loading.parse(nested, str(run.config_file))
    else:
        new = loading.load(config or loading.DEFAULT_PRESET, overrides)
    new = _with_absolute_table(new)
    if not run.exists:
        return new, {}
    latest = locate.load_latest(run.checkpoints)
    if latest is None:
        # Nothing was trained on any labels yet: they are read again from the recordings.
        return replace(new, model=replace(new.model, labels=())), {}
    if new.model.label_channels and not new.model.labels:
        # A preset does not name the labels.
        new = replace(new, model=replace(new.model, labels=latest.config.model.labels))
    changes = loading.differences(latest.config, new)
    fixed = {k: change for k, change in changes.items() if k.startswith(("model.", "audio."))}
    if fixed:
        lines = "; ".join(loading.describe(fixed))
        reason = f"was trained otherwise ({lines}), which cannot change"
        raise RunError(run.folder, reason, "start a new run with another `out`")
    return new, changes


def _with_absolute_table(config: Config) -> Config:
    """The config with the absolute path of a table of labels, so that a run resumes anywhere."""
    table = Path(config.train.label_from).expanduser()
    if not is_table(config.train.label_from) or not table.is_file():
        return config
    return replace(config, train=replace(config.train, label_from=str(table.resolve())))


def changed_recordings(run: Run, corpus: Corpus) -> str:
    """What was added, removed, changed and relabelled since a run began, in a few words."""
    before = run.corpus()
    old, new = before.get("recordings", {}), corpus.contents
    was, now = before.get("labels", {}), corpus.labels
    kinds = {
        "added": new.keys() - old.keys(),
        "removed": old.keys() - new.keys(),
        "changed": {k for k in old.keys() & new.keys() if old[k] != new[k]},
    }
    parts = [
        f"{len(names)} {kind} ({min(names)}{', ...' if len(names) > 1 else ''})"
        for kind, names in kinds.items()
        if names
    ]
    relabelled = sorted(k for k in was.keys() & now.keys() if was[k] != now[k])
    if relabelled:
        first = relabelled[0]
        parts.append(f"{len(relabelled)} relabelled ({first}: {was[first]} -> {now[first]})")
    return ", ".join(parts) or "decoded otherwise"
