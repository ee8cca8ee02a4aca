"""Where `wavenet generate` and `wavenet vocode` put audio: files, standard output, loudspeakers."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from wavenet.audio import playing, writing
from wavenet.audio.writing import Sink, StreamWriter
from wavenet.cli import terminal
from wavenet.cli.outputs import check_new, unread_is_fine
from wavenet.cli.standard_input import DASH
from wavenet.errors import OutputError, UsageError, printable
from wavenet.generation.sampler import BLOCK_SAMPLES
from wavenet.glossary import Wav

# At the end of a path, they say that it is a folder.
SLASHES = tuple(filter(None, ("/", os.sep, os.altsep)))
STDOUT = "standard output"


@dataclass(frozen=True)
class Destination:
    """What becomes of each stream that a command makes.

    Raises UsageError for options that contradict each other.
    """

    out: str | None
    force: bool
    listen: bool
    subtype: str | None
    raw: bool
    as_json: bool

    def __post_init__(self) -> None:
        if self.raw and not self.to_stdout:
            raise UsageError("raw", None, "is for standard output", "add -o -")
        if self.as_json and self.to_stdout:
            raise UsageError("json", None, "standard output has the audio", "choose another -o")
        # None after `>&-`.
        stdout: TextIO | None = sys.stdout
        if self.to_stdout and (stdout is None or stdout.isatty()):
            reason = f"standard output is {'a terminal' if stdout else 'closed'}"
            raise UsageError("out", DASH, reason, "pipe it into a program or a file")

    @property
    def takes_stdout(self) -> bool:
        """Whether standard output is for nothing else."""
        return self.to_stdout or self.as_json

    @property
    def to_stdout(self) -> bool:
        """Whether standard output carries the audio."""
        return self.out == str(DASH)

    @property
    def into_folder(self) -> bool:
        """Whether `out` names a folder, which need not be there yet."""
        out = self.out or ""
        return self.to_files and bool(out) and (out.endswith(SLASHES) or Path(out).is_dir())

    @property
    def is_named(self) -> bool:
        """Whether `out` names a file."""
        return self.to_files and self.out is not None and not self.into_folder

    def path_of(self, default: str) -> Path:
        """The path of a file, which `default` is the name of where `out` names none."""
        if self.out is None or not self.to_files:
            return Path(default)
        return Path(self.out) / default if self.into_folder else Path(self.out)

    @property
    def to_files(self) -> bool:
        """Whether there are files: not where one only listens."""
        return not self.to_stdout and (self.out is not None or not self.listen)

    def require_one(self, count: int, what: str) -> None:
        """Raise UsageError for more streams than can be heard, or follow in one output."""
        if count > 1 and (self.to_stdout or self.listen):
            parameter, value = ("out", DASH) if self.to_stdout else ("listen", None)
            raise UsageError(parameter, value, f"takes one {what}, not {count}")

    def check(self, paths: Sequence[Path], rate: int) -> None:
        """Raise WavenetError for what cannot be written, before it is computed."""
        if self.listen:
            playing.require_device(rate)
        for path in paths if self.to_files else ():
            writing.check_format(path, rate, self.subtype)
            check_new(path, self.force)

    def make_folders(self, paths: Sequence[Path]) -> None:
        """Make the folders of files. Raises OutputError."""
        for folder in dict.fromkeys(path.parent for path in paths if self.to_files):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as e:
                reason = f"cannot be made ({e.strerror})"
                raise OutputError(folder, reason, "choose another -o") from None

    @contextmanager
    def open(self, path: Path, rate: int, tags: Mapping[str, str]) -> Iterator[Sink]:
        """What takes the blocks of one stream."""
        with ExitStack() as opened:
            sinks: list[Sink] = []
            if self.to_stdout:
                subtype = self.subtype or "16"
                stream = sys.stdout.buffer
                sinks.append(StreamWriter(stream, STDOUT, rate, tags, subtype, raw=self.raw))
            if self.to_files:
                file = writing.writer(path, rate, tags, self.subtype, force=self.force)
                sinks.append(opened.enter_context(file))
            if self.listen:
                player = playing.player(rate, BLOCK_SAMPLES, _tell_gap)
                sinks.append(opened.enter_context(player))
            yield sinks[0] if len(sinks) == 1 else _Several(sinks)

    def shown(self, path: Path) -> str:
        """What lines call the place of a stream."""
        if self.to_files:
            return printable(path)
        return STDOUT if self.to_stdout else "played"

    def format_line(self, rate: int) -> str:
        """What nothing but this line tells of raw samples."""
        kind = {"16": "16-bit integers", "24": "24-bit integers", "float": "32-bit floats"}
        return f"raw samples: {kind[self.subtype or '16']}, little-endian, mono, {rate} Hz"


@dataclass(frozen=True)
class _Several:
    sinks: Sequence[Sink]

    def write(self, wav: Wav) -> None:
        for sink in self.sinks:
            sink.write(wav)


def _tell_gap() -> None:
    # The bar makes room.
    with tqdm.external_write_mode(), unread_is_fine():
        terminal.status("gaps in the sound: it is made more slowly than it plays")
