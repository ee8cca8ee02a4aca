"""Settings: frozen dataclasses that check themselves when they are made.

Importable with the standard library alone; pydantic is needed only where `loading` reads a config
from outside. A run folder and a checkpoint carry the whole `Config`, so no command repeats another
command's flags.
"""

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from wavenet.config.audio import AudioConfig
from wavenet.config.checks import Checked
from wavenet.config.model import ModelConfig
from wavenet.config.train import TrainConfig


@dataclass(frozen=True)
class Config(Checked):
    """Everything a run is made from. Raises ConfigError for what does not go together.

    >>> import wavenet
    >>> config = wavenet.Config(model=wavenet.ModelConfig(layers=20))
    >>> config.model.receptive_field, config.train.steps
    (2047, 20000)
    """

    name: str = "custom"
    """What the configuration is called, and run folders after it: letters, digits, dots and dashes.
    A file without one is called after itself.
    """

    purpose: str = ""
    """What it is for, in a line, as `wavenet presets` shows it."""

    audio: AudioConfig = field(default_factory=AudioConfig)
    """How recordings become samples."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """The network's sizes: what `WaveNet`, `WaveNetStack` and engines are made from."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """The training recipe."""

    def __post_init__(self) -> None:
        super().__post_init__()
        proper = re.fullmatch(r"\w[\w.-]*", self.name) is not None
        self.require(proper, "name", "must be letters, digits, dots and dashes")
        nyquist = self.audio.sample_rate / 2
        sampled = not self.model.follows_mel or self.model.mel_high_hz <= nyquist
        rule = f"must be at most {nyquist:g}, half audio.sample_rate"
        self.model.require(sampled, "mel_high_hz", rule)
        as_recorded = self.audio.level == "none" or not self.train.frames_from
        rule = "frames are of recordings as loud as they are: needs audio.level = none"
        self.train.require(as_recorded, "frames_from", rule)

    @property
    def trims(self) -> bool:
        """Whether silence at the ends of recordings is trimmed.

        With train.validation = "tails" it never is: its figures compare with those published for
        whole files. Nor is it where mel frames, features or segments come in files of their own,
        which are of whole recordings.
        """
        beside = self.train.frames_from or {"features", "segments"} & {*self.model.conditioning}
        return self.audio.trim and self.train.validation != "tails" and not beside

    @property
    def segment_samples(self) -> int:
        """Predicted samples per window: whole frames where the network follows any."""
        hop = self.model.frame_spacing
        frames = round(self.train.segment_seconds * self.audio.sample_rate / hop)
        return max(1, frames) * hop

    def to_dict(self) -> dict[str, Any]:
        """A plain nested dict that TOML and JSON can hold; unset settings are left out."""
        return {k: _plain(v) for k, v in asdict(self).items()}

    def to_toml(self) -> str:
        """The text of a config file, which `wavenet.config.loading.load` reads."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    return list(value) if isinstance(value, tuple) else value
