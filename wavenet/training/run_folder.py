"""A run folder, which holds all that is known about its run.

config.toml       every setting
corpus.json       which recordings, what they held, and their bits per sample without a network
recordings.csv    what became of each file
metrics.jsonl     one line per logged step and per evaluation
samples/          a wav and a picture from each evaluation
checkpoints/      the last few, and the best
arrays/           recordings that were in memory, of a run from Python
"""

import csv
import json
import math
import os
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from wavenet.config import Config
from wavenet.config.loading import load as load_config
from wavenet.data.cache_folders import cache_option
from wavenet.data.selection import Selection
from wavenet.data.tracks import BESIDE
from wavenet.errors import RunError
from wavenet.model import checkpoint, locate
from wavenet.model.checkpoint import Model
from wavenet.system.files import PARTIAL, write_whole, writing
from wavenet.system.shell import command

if TYPE_CHECKING:
    from wavenet.data.corpus import Corpus

# Of corpus.json: knowing how often each level occurs, and knowing the sample before.
BASELINES = ("unigram_bits", "bigram_bits")
# Of recordings.csv. `rate` (Hz) and `channels` are as recorded, `note` is what was other than it
# should be and what was done about it.
COLUMNS = (
    *("file", "use", "reason", "seconds", "gain_db", "loudest_db", "trimmed_seconds"),
    *("rate", "channels", "note"),
)
# What a run may hold that a crash ended before its config was written.
BEFORE_CONFIG = {"samples", "checkpoints", "arrays", ".lock"}


def _is_foreign(path: Path) -> bool:
    return path.name not in BEFORE_CONFIG and path.suffix != PARTIAL


def _text(path: Path) -> str:
    """A file that somebody may have edited, with or without a byte order mark. Raises RunError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise RunError(path, "not text in UTF-8", "save it as UTF-8") from None


class Run:
    """Paths and files of one run. Nothing is written before `create`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config_file = folder / "config.toml"
        self.metrics_file = folder / "metrics.jsonl"
        self.samples = folder / "samples"
        self.checkpoints = folder / "checkpoints"
        self.arrays = folder / "arrays"

    @property
    def exists(self) -> bool:
        """Whether there is anything to go on from: config.toml, or a checkpoint with its config."""
        return self.config_file.exists() or bool(locate.steps(self.checkpoints))

    def check(self) -> None:
        """Raise RunError when the folder holds something other than a run, or is not writable."""
        nearest = next(p for p in (self.folder, *self.folder.absolute().parents) if p.exists())
        if nearest.is_dir() and not os.access(nearest, os.W_OK):
            raise self._unwritable(f"no permission for {nearest}")
        if nearest != self.folder:
            if not nearest.is_dir():
                raise self._unwritable(f"{nearest} is a file")
        elif not self.exists and (not nearest.is_dir() or any(map(_is_foreign, nearest.iterdir()))):
            raise RunError(self.folder, "exists and is not a run", "choose another `out`")

    def create(self, wait_seconds: float = 0) -> FileLock:
        """Make the folders, lock the run, and delete files that a crash left half-written.

        Returns the lock, which the caller releases. Raises RunError, for a lock that another
        process has when it still has it after `wait_seconds`.
        """
        try:
            self.samples.mkdir(parents=True, exist_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
            lock = FileLock(self.folder / ".lock", timeout=wait_seconds)
            lock.acquire()
            for folder in (self.folder, self.checkpoints):
                for leftover in folder.glob(f"*{PARTIAL}"):
                    leftover.unlink()
        except Timeout:
            raise RunError(self.folder, "another process is training this run") from None
        except OSError as e:
            raise self._unwritable(e.strerror or str(e)) from None
        return lock

    def _unwritable(self, problem: str) -> RunError:
        return RunError(self.folder, f"cannot be written ({problem})", "choose another `out`")

    def config(self) -> Config:
        """Its settings: those of config.toml, or of the newest checkpoint where that was lost."""
        if not locate.has_config(self.folder) and (latest := locate.load_latest(self.checkpoints)):
            return latest.config
        return load_config(self.config_file)

    def write_config(self, config: Config) -> None:
        """Write config.toml."""
        write_whole(self.config_file, config.to_toml().encode())

    def describe(self, corpus: "Corpus") -> None:
        """Write config.toml, corpus.json and recordings.csv."""
        self.write_config(corpus.config)
        about = {
            "folder": str(corpus.index.folder.resolve()),
            **({"paths": corpus.index.selection.paths} if corpus.index.selection.paths else {}),
            "fingerprint": corpus.fingerprint,
            "recordings": corpus.contents,
            **({"labels": corpus.labels} if corpus.labels else {}),
            **corpus.contents_beside,
            "held_out": corpus.held_out,
            "left_out": corpus.left_out,
            "baselines": self._baselines(corpus),
        }
        write_whole(self.folder / "corpus.json", json.dumps(about, indent=1).encode())
        table = _recordings_table(corpus).encode("utf-8", "backslashreplace")
        write_whole(self.folder / "recordings.csv", table)

    def _baselines(self, corpus: "Corpus") -> dict[str, float]:
        """Bits per sample that the held-out recordings take without a network, as far as known."""
        try:
            before = self.corpus()
            same = (before.get("fingerprint"), before.get("held_out"))
            if before.get("baselines") and same == (corpus.fingerprint, corpus.held_out):
                return dict(before["baselines"])
            # Only who trains needs it, and what it loads takes its time.
            from wavenet.data.statistics import held_out_baselines

            found = dict(zip(BASELINES, held_out_baselines(corpus), strict=True))
        except Exception:
            # They are only shown, and end no training.
            return {}
        return {name: round(bits, 5) for name, bits in found.items() if math.isfinite(bits)}

    def corpus(self) -> dict[str, Any]:
        """What this run was trained on: folder, paths in it, fingerprint, recordings by name.

        {} when it never got that far. Raises RunError.
        """
        try:
            about = json.loads(_text(self.folder / "corpus.json"))
        except (OSError, ValueError):
            return {}
        kinds = {"folder": str, "paths": list, "recordings": dict, "labels": dict}
        kinds |= dict.fromkeys(BESIDE.values(), dict)
        is_whole = isinstance(about, dict) and all(
            isinstance(about.get(key, kind()), kind) for key, kind in kinds.items()
        )
        return about if is_whole else {}

    def recordings(self, latest: Model | None = None) -> Selection | None:
        """Those that it was begun on, as it or its `latest` checkpoint says; None if neither does.

        Raises RunError, and CheckpointError where the newest checkpoint has to be read and cannot.
        """
        about = self.corpus()
        if about.get("folder"):
            return Selection(Path(about["folder"]), tuple(map(str, about.get("paths", []))))
        latest = latest or locate.load_latest(self.checkpoints)
        if latest is None or not latest.training.folder:
            return None
        return Selection(Path(latest.training.folder), latest.training.paths)

    def command_to_go_on(self, cache: Path | None, *more: str) -> str:
        """The command that goes on with this run, as text of an error, with `more` words.

        Decoded recordings lie in `cache`.
        """
        return command("wavenet", "train", "`out`", self.folder, *cache_option(cache), *more)

    def latest(self) -> Model | None:
        """The newest checkpoint, with all that resuming needs."""
        return locate.load_latest(self.checkpoints, resume=True)

    def set_aside(self, step: int) -> None:
        """Rename a checkpoint that training cannot go on from, so that it is not found again."""
        path = locate.step_path(self.checkpoints, step)
        if path.exists():
            path.rename(path.with_suffix(".diverged"))

    def save(self, saved: Model) -> None:
        """Write a checkpoint and delete old ones, but for the last few and the best."""
        step, best = saved.training.step, saved.training.best_step
        checkpoint.save(locate.step_path(self.checkpoints, step), saved)
        for old in locate.steps(self.checkpoints)[: -saved.config.train.keep_checkpoints]:
            if old not in (step, best):
                locate.step_path(self.checkpoints, old).unlink(missing_ok=True)

    def log(self, **metrics: Any) -> None:
        with writing(self.metrics_file), open(self.metrics_file, "a", encoding="utf-8") as f:
            f.write(json.dumps(metrics) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """All logged lines; one cut short by a crash is left out. Raises RunError."""
        return read_metrics(self.metrics_file) if self.metrics_file.exists() else []

    def forget_after(self, step: int) -> None:
        """Drop the metrics of steps that a crash undid, so that no step is logged twice."""
        kept = [m for m in self.metrics() if m["step"] <= step]
        write_whole(self.metrics_file, "".join(json.dumps(m) + "\n" for m in kept).encode())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a file as `Run.log` writes it that have a step and a time. Raises RunError."""
    lines: list[dict[str, Any]] = []
    for line in _text(path).splitlines():
        with suppress(ValueError):
            metrics = json.loads(line)
            about = metrics if isinstance(metrics, dict) else {}
            if isinstance(about.get("step"), int) and isinstance(about.get("seconds"), float | int):
                lines.append(about)
    return lines


def _recordings_table(corpus: "Corpus") -> str:
    """What became of each file, as CSV."""
    index = corpus.index
    uses = dict.fromkeys(corpus.held_out, "validation") | dict.fromkeys(corpus.left_out, "left out")
    text = StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for r in index.recordings:
        reason = f"same content as {r.duplicate_of}" if r.duplicate_of else ""
        use, seconds = uses.get(r.name, "training"), f"{r.samples / index.sample_rate:.3f}"
        measures = [seconds, r.gain_db, r.loudest_db, r.trimmed_seconds]
        # Runs that began with version 1 of decoding do not know.
        recorded = [r.rate or "", r.channels or "", r.note]
        table.writerow([r.name, use, reason, *measures, *recorded])
    empty = [""] * (len(COLUMNS) - 3)
    table.writerows([s.name, "skipped", s.reason, *empty] for s in index.skipped)
    return text.getvalue()
