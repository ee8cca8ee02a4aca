"""What a user can get wrong. The command line prints any of these errors as one line and exits 1.

    WavenetError                    everything that this program raises on purpose
      ConfigError                   a setting is unknown, malformed or out of range
      AudioError                    a recording cannot be read, or audio cannot be written
      CorpusError                   a folder of recordings cannot be trained on
      CheckpointError               a file is no checkpoint, is damaged, or is of a newer format
      RunError                      a run folder cannot be created, resumed or used
        ChangedRunError             a run would go on with other settings or recordings
      OutputError                   a file cannot be written
      TrainingError                 training cannot go on
        LostProcessError            another of the processes that train together has ended
      AlreadyReportedError          another process reports the problem; this one ends silently
      EngineError                   an engine is missing, or cannot do what was asked
        UnsupportedModelError       an engine cannot serve this model; another may

A message says what is wrong, where, and what to do about it.
"""


class WavenetError(Exception):
    """Base of every error that this program raises on purpose.

    Names and values of any kind may stand in the message. What cannot be printed is escaped, so
    the message stays one line.
    """

    def __init__(self, message: str) -> None:
        super().__init__(
            "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
        )


class ConfigError(WavenetError):
    """A setting is unknown, malformed or out of range."""


class AudioError(WavenetError):
    """A recording cannot be read, or audio cannot be written."""


class CorpusError(WavenetError):
    """A folder of recordings cannot be trained on."""


class CheckpointError(WavenetError):
    """A file is not a checkpoint of this program, is damaged, or is of a newer format."""


class RunError(WavenetError):
    """A run folder cannot be created, resumed or used."""


class ChangedRunError(RunError):
    """A run would go on with other settings or recordings, and nobody said that it may."""


class OutputError(WavenetError):
    """A file cannot be written."""


class TrainingError(WavenetError):
    """Training cannot go on."""


class LostProcessError(TrainingError):
    """One of several processes that train together has ended."""


class AlreadyReportedError(WavenetError):
    """This process ends because of a problem that another process reports to the user."""


class EngineError(WavenetError):
    """A generation engine is missing or cannot do what was asked."""


class UnsupportedModelError(EngineError):
    """An engine cannot serve this model, or not on this machine; another may."""
