"""What can go wrong, as objects. The command line prints any of these as one line and exits 1.

    WavenetError                    everything that this program raises on purpose
      UsageError                    an argument has a value that it cannot have; a ValueError, too
      ConfigError                   a setting is unknown, malformed or out of range
      AudioError                    a recording cannot be read, or audio cannot be written
      ScoreError                    notes or labelled segments cannot be read or followed
      CorpusError                   a folder of recordings cannot be trained on
      CheckpointError               a file is no checkpoint, is damaged, or is of a newer format
      RunError                      a run folder cannot be created, resumed or used
        ChangedRunError             a run would go on with other settings or recordings
      OutputError                   a file cannot be written
      TrainingError                 training cannot go on
        LostProcessError            another of the processes that train together has ended
      EngineError                   an engine is missing, or cannot do what was asked
        UnsupportedModelError       an engine cannot serve this model; another may

Each says where, what is wrong, and what to do about it: `subject`, `reason` and `advice`. In these
texts a parameter of this library stands in backticks, as in "choose another `out`"; the command
line shows the option of that name instead. Programs decide on the class and on data, never on
these texts.
"""

from collections.abc import Mapping
from typing import Any, Self


class WavenetError(Exception):
    """Base of every error that this program raises on purpose.

    Names and values of any kind may stand in the parts. In `str` of the error, which is one line,
    what cannot be printed is escaped.

    >>> import wavenet
    >>> try:
    ...     wavenet.load("demo-vioce")
    ... except wavenet.WavenetError as e:
    ...     print(e.subject, e.reason, e.advice, sep=" | ")
    demo-vioce | no such run or checkpoint | did you mean demo-voice?
    """

    def __init__(self, subject: object, reason: str, advice: str = "") -> None:
        # Errors travel between processes, and are made again from these arguments there.
        super().__init__(subject, reason, advice)
        # Where: a file, a folder, a setting; "" where the reason says it.
        self.subject = subject
        # What is wrong.
        self.reason = reason
        # What to do about it; "" where that is plain.
        self.advice = advice

    def within(self, place: object) -> Self:
        """This error, with `place` in front of its subject."""
        self.subject = f"{place}: {self.subject}" if str(self.subject) else place
        return self

    def __str__(self) -> str:
        where = f"{self.subject}: " if str(self.subject) else ""
        return printable(where + self.reason + (f"; {self.advice}" if self.advice else ""))


class UsageError(WavenetError, ValueError):
    """An argument has a value that it cannot have, alone or together with the others.

    `parameter` is its name. `value` is what it had: of an array, the shape or a range of numbers.
    """

    def __init__(self, parameter: str, value: object, reason: str, advice: str = "") -> None:
        shown = "" if value is None else f" {value}"
        super().__init__(f"`{parameter}`{shown}", reason, advice)
        self.args = (parameter, value, reason, advice)
        self.parameter = parameter
        self.value = value


class ConfigError(WavenetError):
    """A setting is unknown, malformed or out of range."""


class AudioError(WavenetError):
    """A recording cannot be read, or audio cannot be written."""


class ScoreError(WavenetError):
    """Notes or labelled segments cannot be read or followed."""


class CorpusError(WavenetError):
    """A folder of recordings cannot be trained on."""


class CheckpointError(WavenetError):
    """A file is not a checkpoint of this program, is damaged, or is of a newer format."""


class RunError(WavenetError):
    """A run folder cannot be created, resumed or used."""


class ChangedRunError(RunError):
    """A run would go on with other settings or recordings, and nobody said that it may.

    `changes` has the old and the new value of each setting, and "recordings" where those changed.
    """

    def __init__(
        self, subject: object, reason: str, advice: str, changes: Mapping[str, Any]
    ) -> None:
        super().__init__(subject, reason, advice)
        self.args = (subject, reason, advice, changes)
        self.changes = changes


class OutputError(WavenetError):
    """A file cannot be written."""


class TrainingError(WavenetError):
    """Training cannot go on."""


class LostProcessError(TrainingError):
    """One of several processes that train together has ended."""


class EngineError(WavenetError):
    """A generation engine is missing or cannot do what was asked."""


class UnsupportedModelError(EngineError):
    """An engine cannot serve this model, or not on this machine; another may."""


def reason_of(error: BaseException) -> str:
    """What an error of any kind says, as one line; its class where it says nothing."""
    text = str(getattr(error, "strerror", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def printable(text: object) -> str:
    """A text, such as a file's name, as one line: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
