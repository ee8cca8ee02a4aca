"""What a session of training is to do: which run, with which config, on which recordings.

Rank 0 resolves it from what the user asked for, and every rank follows it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from wavenet.config import Config, loading
from wavenet.config.model import with_found, without_found
from wavenet.data.cache_folders import cache_option
from wavenet.data.corpus import Corpus
from wavenet.data.decoding import VERSION as DECODING
from wavenet.data.labels import is_table
from wavenet.data.selection import Selection
from wavenet.data.tracks import BESIDE
from wavenet.errors import ChangedRunError, ConfigError, CorpusError, RunError, UsageError
from wavenet.generation.provenance import model_name
from wavenet.model import locate
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.registry import front_ends
from wavenet.system.shell import command
from wavenet.training import fine_tuning
from wavenet.training.default_run import default_run
from wavenet.training.run_folder import Run

# A process that begins a run has said after this time what it is a run of.
START_SECONDS = 2.0


@dataclass(frozen=True)
class Plan:
    """One session of training, resolved and checked."""

    run: Run
    config: Config
    # In the words of the user: on each machine they are looked for in its own place.
    recordings: Selection
    stop_at: int | None  # step
    accept_changes: bool
    # Whether `train.steps` is still to be found, from `train.minutes`.
    times_steps: bool
    # The version of the rules by which recordings are decoded: a run keeps that it began with.
    decoding: int
    # The trained model that the run begins from, which has no checkpoint yet.
    base: Model | None = None
    # What the user should know about it.
    notes: tuple[str, ...] = ()
    # Of the config, where the recordings and this name decided on the run; "" where the user did.
    default_name: str = ""

    def lock_run(self) -> tuple[Run, BaseFileLock]:
        """The run, locked: another one where it has become one of other recordings since.

        Raises RunError when another process trains it.
        """
        run, wait_seconds = self.run, START_SECONDS if self.default_name else 0
        while True:
            try:
                lock = run.create(wait_seconds)
            except RunError:
                if self._is_still(run):
                    raise
            else:
                if self._is_still(run):
                    return run, lock
                lock.release()
            run = default_run(self.recordings, self.default_name)[0]
            run.check()

    def _is_still(self, run: Run) -> bool:
        """Whether a run is the one that is meant, whatever other processes have begun meanwhile."""
        if not self.default_name:
            return True
        return default_run(self.recordings, self.default_name)[0].folder == run.folder

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
    folder: Path | Sequence[Path] | Selection | None,
    *,
    config: Config | str | None,
    overrides: Mapping[str, Any],
    out: Path | None,
    stop_at: int | None,
    max_hours: float | None,
    accept_changes: bool,
    cache: Path | None,
    world_size: int,
) -> Plan:
    """Resolve what the user asked for; the parameters are those of `session.train`.

    Raises UsageError and ConfigError for what cannot be, CorpusError for recordings that are not
    there, RunError when it names no run or one whose network the config does not fit, and
    ChangedRunError for other changes that nobody accepted.
    """
    if stop_at is not None and stop_at < 1:
        raise UsageError("stop_at", stop_at, "must be a step from 1 on")
    if max_hours is not None and not 0 < max_hours < math.inf:
        raise UsageError("max_hours", f"{max_hours:g}", "must be above 0")
    overrides = _consistent(overrides)
    given = Selection.of(folder) if folder else None
    run, notes, default_name = _named_run(given, config, overrides, out)
    latest = locate.load_latest(run.checkpoints) if run.exists else None
    changes: dict[str, tuple[Any, Any]] = {}
    base = None
    if latest is None:
        resolved, base = _config_to_begin(run, config, overrides)
    else:
        resolved = _config_to_go_on(run, latest, config, overrides)
        changes = _changes(run, latest.config, resolved)
    times_steps = resolved.train.minutes > 0 and (latest is None or "train.minutes" in changes)
    recordings = given or _own_recordings(run, latest, cache)
    if latest is not None and not locate.has_config(run.folder):
        what = "empty" if run.config_file.exists() else "gone"
        instead = "going on with the settings of the newest checkpoint"
        notes += (f"note: {run.config_file} is {what}: {instead}",)
    decoding = DECODING if latest is None else latest.training.decoding
    plan = Plan(
        run,
        resolved,
        recordings,
        stop_at,
        accept_changes,
        times_steps,
        decoding,
        base,
        notes,
        default_name,
    )
    plan.refuse(changes)
    about_labels = sorted(overrides.keys() & {"train.label_from", "train.label_depth"})
    if about_labels and not resolved.model.label_channels:
        advice = "`set` model.label_channels=16"
        if not resolved.train.init_from:
            advice = f"use `config` voices or {advice}"
        raise ConfigError(about_labels[-1], "this configuration takes no labels", advice)
    if resolved.train.frames_from and not resolved.model.follows_mel:
        advice = "use `config` vocoder-small or `set` model.mel_bands=80"
        raise ConfigError("train.frames_from", "this configuration follows no mel frames", advice)
    if resolved.train.batch < world_size:
        reason = f"leaves some of {world_size} processes without a window"
        raise ConfigError(f"train.batch = {resolved.train.batch}", reason, "raise it")
    for front_end in front_ends(resolved.model):
        front_end.check(resolved.audio.sample_rate)
    run.check()
    return plan


def _own_recordings(run: Run, latest: Model | None, cache: Path | None) -> Selection:
    """The recordings that a run was begun on. Raises RunError."""
    known = run.recordings(latest)
    if known is None:
        raise RunError(run.folder, "does not know its recordings", "name their `folder`")
    try:
        known.require()
    except CorpusError as e:
        words = ("wavenet", "train", "FOLDER", "`out`", run.folder, *cache_option(cache))
        advice = f"name the folder they are in now: {command(*words)}"
        raise RunError(run.folder, f"its recordings are no longer in {e.subject}", advice) from None
    return known


def _named_run(
    recordings: Selection | None,
    config: Config | str | None,
    overrides: Mapping[str, Any],
    out: Path | None,
) -> tuple[Run, tuple[str, ...], str]:
    """The run that is meant, notes about it, and the config's name where the user named none."""
    if out is not None:
        return Run(out), (), ""
    if recordings is None:
        reason = "name a folder of recordings, or an existing run with `out` to go on with"
        raise RunError("", reason)
    source = overrides.get("train.init_from")
    if source and config is None:
        name = loading.as_name(model_name(Path(source)))
    else:
        name = fine_tuning.settings_for(config or loading.DEFAULT_PRESET)[1]["name"]
    name = str(overrides.get("name", name))
    return *default_run(recordings, name), name


def _config_to_begin(
    run: Run, config: Config | str | None, overrides: Mapping[str, Any]
) -> tuple[Config, Model | None]:
    """The config of a run without a checkpoint, and the trained model that it begins from."""
    source = _source(config, overrides)
    if source:
        base = fine_tuning.load(source)
        new = fine_tuning.config_from(base.config, source, config, overrides)
        return _with_absolute_paths(new), base
    if config is not None or not run.exists:
        return _with_absolute_paths(_config(config or loading.DEFAULT_PRESET, overrides)), None
    nested = loading.override(run.config().to_dict(), overrides)
    new = _with_absolute_paths(loading.parse(nested, str(run.config_file), overrides))
    # Nothing was trained on any labels yet: they are read again from the recordings.
    new = replace(new, model=without_found(new.model))
    if not new.train.init_from:
        return new, None
    base = fine_tuning.load(new.train.init_from)
    if "features" in new.model.conditioning:
        width = base.config.model.features_width
        new = replace(new, model=replace(new.model, features_width=width))
    fine_tuning.require_same_network(base.config, new, new.train.init_from)
    return new, base


def _config(source: Config | str, overrides: Mapping[str, Any]) -> Config:
    """The config of a new run with the settings of a `source`."""
    where, nested = fine_tuning.settings_for(source)
    return loading.parse(loading.override(nested, overrides), where, overrides)


def _source(config: Config | str | None, overrides: Mapping[str, Any]) -> str:
    """The `train.init_from` that the user asked for, by an override or in a config; "" if none."""
    source = overrides.get("train.init_from")
    if source is None and config is not None:
        source = loading.flatten(fine_tuning.settings_for(config)[1]).get("train.init_from", "")
    return fine_tuning.named_from_anywhere(str(source)) if source else ""


def _config_to_go_on(
    run: Run, latest: Model, config: Config | str | None, overrides: Mapping[str, Any]
) -> Config:
    """The config that a run with a checkpoint is to go on with."""
    before = latest.config
    source, begun = _source(config, overrides), before.train.init_from
    if source and begun and source != begun and fine_tuning.is_origin(source, latest):
        # It has moved since.
        source = begun
        overrides = {**overrides, "train.init_from": begun}
    if config is None:
        nested = loading.override(run.config().to_dict(), overrides)
        new = loading.parse(nested, str(run.config_file), overrides)
    elif begun and source:
        # The run has the network of the model that it began from.
        new = fine_tuning.config_from(before, source, config, overrides)
    else:
        new = _config(config, overrides)
    new = _with_absolute_paths(new)
    # A preset does not say what was found in the recordings.
    new = replace(new, model=with_found(new.model, before.model))
    if new.train.minutes and new.train.minutes == before.train.minutes:
        # They were counted when the run began.
        new = replace(new, train=replace(new.train, steps=before.train.steps))
    return new


def _changes(run: Run, before: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """How two configs of a run differ. Raises RunError for what no run can go on with."""
    changes = changed_settings(before, new)
    begun = ("model.", "audio.", "train.init_from", "train.label_depth")
    fixed = {k: change for k, change in changes.items() if k.startswith(begun)}
    if fixed:
        lines = "; ".join(loading.describe(fixed))
        reason = f"was trained otherwise ({lines}), which cannot change"
        advice = "start a new run with another `out`"
        if "train.init_from" in fixed:
            advice += ", or leave out `init_from` and `config` to go on with this one"
        raise RunError(run.folder, reason, advice)
    return changes


def changed_settings(before: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """How two configs of a run differ; where mel frames lie does not count, but what they are."""
    changes = loading.differences(before, new)
    if before.train.frames_from and new.train.frames_from:
        changes.pop("train.frames_from", None)
    return changes


def _consistent(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides, with what follows from them: steps or minutes, and a path from everywhere."""
    result = dict(overrides)
    minutes = result.get("train.minutes")
    if "train.steps" in result:
        if minutes:
            reason = "and `steps` both give the length of the training"
            raise UsageError("minutes", minutes, reason, "leave one out")
        result["train.minutes"] = 0.0
    elif minutes == 0:
        raise UsageError("minutes", minutes, "must be above 0")
    if source := result.get("train.init_from"):
        result["train.init_from"] = fine_tuning.named_from_anywhere(str(source))
    return result


def _with_absolute_paths(config: Config) -> Config:
    """The config with absolute paths of a table of labels and of frames, to resume anywhere."""
    train = config.train
    table = Path(train.label_from).expanduser()
    if is_table(train.label_from) and table.is_file():
        train = replace(train, label_from=str(table.resolve()))
    if train.frames_from:
        train = replace(train, frames_from=str(Path(train.frames_from).expanduser().resolve()))
    return replace(config, train=train)


def changed_recordings(run: Run, corpus: Corpus) -> str:
    """What changed of the recordings, their labels and frames since a run began, in a few words."""
    before = run.corpus()
    if not before:
        return "others than it was trained on"
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
    beside = corpus.contents_beside
    for kind, noun in BESIDE.items():
        earlier, later = before.get(noun, {}), beside.get(noun, {})
        others = sorted(k for k in old.keys() & new.keys() if earlier.get(k) != later.get(k))
        if others:
            what = "mel frames" if kind == "mel" else noun
            parts.append(f"{len(others)} with other {what} ({others[0]})")
    return ", ".join(parts) or "decoded otherwise"
