"""Trainings that the studio starts: processes of their own, which go on when the studio ends.

Beside a run, in a folder `.studio`, lie the log of its training and the number of the process. The
process holds a lock on its log for as long as it lives: so a studio that is started again knows
that it still does, and that no other process has its number.
"""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wavenet.errors import RunError, printable
from wavenet.system.files import write_whole, writing

# `wavenet` ends with these when a signal has stopped it.
INTERRUPTED = {128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM}
# Of a log, from the end.
LOG_BYTES, LOG_LINES = 16_000, 40


@dataclass
class Training:
    """A training that a studio started, this one or one before it."""

    folder: Path
    pid: int
    began: float  # seconds since 1970
    # Of one that an earlier studio started there is none.
    process: "subprocess.Popen[bytes] | None" = None
    is_stopping: bool = False

    @property
    def is_alive(self) -> bool:
        if self.process is not None:
            return self.process.poll() is None
        return _is_held(log_of(self.folder))

    @property
    def was_interrupted(self) -> bool:
        return self.process is not None and self.process.poll() in INTERRUPTED

    @property
    def has_failed(self) -> bool:
        status = self.process.poll() if self.process else None
        return status not in (None, 0) and not self.was_interrupted


class Trainings:
    """Those that were started here, by the folders of their runs. One goes on at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._started: dict[Path, Training] = {}
        self._starting = threading.Lock()

    def folders(self) -> list[Path]:
        """Of the runs that this studio started, whether training got as far as making them."""
        return list(self._started)

    def of(self, folder: Path) -> Training | None:
        """The training of a run, which may have ended; None for one that no studio started."""
        if folder in self._started:
            return self._started[folder]
        number = _number_of(folder)
        try:
            earlier = Training(folder, int(number.read_text()), number.stat().st_mtime)
        except (OSError, ValueError):
            return None
        if earlier.is_alive:
            return self._started.setdefault(folder, earlier)
        with suppress(OSError):
            number.unlink()
        return None

    def forget(self, folder: Path) -> None:
        """Let how a training ended say nothing more of a run that is trained elsewhere since."""
        self._started.pop(folder, None)

    def start(self, folder: Path, arguments: Sequence[str | Path]) -> Training:
        """Begin a training of a run: `wavenet train` with `arguments`. Raises RunError."""
        with self._starting:
            for other in list(self._started.values()):
                if other.is_alive:
                    advice = "only one goes on at a time: wait for it to end, or stop it first"
                    raise RunError(other.folder.name, "is being trained now", advice)
            self._started[folder] = training = self._begin(folder, list(map(str, arguments)))
            return training

    def _begin(self, folder: Path, arguments: list[str]) -> Training:
        log = log_of(folder)
        # Without -P, a recordings folder's own Python files would stand in for libraries.
        command = [sys.executable, "-P", "-m", "wavenet", "train", *arguments]
        began = time.time()
        with writing(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            with open(log, "ab") as output:
                _hold(output.fileno(), folder)
                output.write(f"$ {shlex.join(['wavenet', 'train', *arguments])}\n".encode())
                output.flush()
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self.root,
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                    # Ctrl-C in the studio's terminal is not for it.
                    start_new_session=True,
                )
        write_whole(_number_of(folder), str(process.pid).encode())
        return Training(folder, process.pid, began, process)

    def stop(self, folder: Path) -> None:
        """Let a training save and end, as Ctrl-C does. Raises RunError."""
        training = self.of(folder)
        if training is None or not training.is_alive:
            reason, advice = "no training of it was started here", "stop it where it was started"
            raise RunError(folder.name, reason, advice)
        if training.is_stopping:
            raise RunError(folder.name, "is stopping already: it saves what it has learnt")
        if sys.platform == "win32":
            reason = "Windows knows no Ctrl-C for a process without a window"
            raise RunError(folder.name, reason, "end it in the Task Manager, and resume it later")
        with suppress(ProcessLookupError):
            # Its process group would hear it twice where a terminal passes it on.
            os.kill(training.pid, signal.SIGINT)
        training.is_stopping = True


def log_of(folder: Path) -> Path:
    """Where the log of a run's trainings lies."""
    return folder.parent / ".studio" / f"{folder.name}.log"


def _number_of(folder: Path) -> Path:
    return folder.parent / ".studio" / f"{folder.name}.pid"


def last_lines(folder: Path) -> list[str]:
    """The last lines of a run's log; none where no studio has trained it."""
    try:
        with open(log_of(folder), "rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - LOG_BYTES))
            text = log.read(LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    lines = text.splitlines()
    if size > LOG_BYTES:
        # It was cut.
        del lines[:1]
    return [printable(line.rstrip()) for line in lines if line.strip()][-LOG_LINES:]


def reason_of_failure(folder: Path) -> str:
    """What a training said last, as one line."""
    lines = last_lines(folder)
    errors = [line.removeprefix("wavenet: ") for line in lines if line.startswith("wavenet: ")]
    return (errors or lines or ["it ended without a word"])[-1]


def _hold(handle: int, folder: Path) -> None:
    """Lock an open log; processes that inherit it keep the lock. Raises RunError."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunError(folder.name, "another studio is training this run") from None


def _is_held(log: Path) -> bool:
    """Whether a process still holds the lock on its log."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        with open(log, "rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
