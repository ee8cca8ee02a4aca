"""What a user can get wrong. Each error is one line that says what, where and what to do; the CLI prints it and exits 1."""


class WavenetError(Exception):
    """Base of every error this program raises on purpose. Names and values of any kind may stand in the message: it stays one line."""

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
    """A file is not a checkpoint of ours, is damaged, or is of a newer format."""


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
    """This process ends because of what another one tells; it says nothing itself."""


class EngineError(WavenetError):
    """A generation engine is missing or cannot do what was asked."""


class UnsupportedModelError(EngineError):
    """An engine cannot serve this model, or not on this machine; another may."""
