"""A recording to continue."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wavenet.audio import levels
from wavenet.audio.reading import AudioFile
from wavenet.errors import AudioError
from wavenet.glossary import Samples
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.distributions.registry import distribution_for


@dataclass(frozen=True)
class Prompt:
    """A recording to continue: its last codes, and the gain that took it to the model's level.

    `whole_samples` is the length of all of it at the model's rate, where that is known.
    """

    x: Samples = field(repr=False)  # (time,)
    gain: float
    whole_samples: int = 0
    # The whole recording, where it was read from a file.
    recording: AudioFile | None = field(default=None, repr=False)


def read_prompt(path: Path, model: Checkpoint) -> Prompt:
    """The end of a recording of any length: as much of it as the model's receptive field.

    Raises AudioError for one that cannot be continued.
    """
    config, audio, rate = model.config.model, model.config.audio, model.config.audio.sample_rate
    # Models that were trained on recordings with their offsets expect those.
    centred = model.training.decoding > 1
    file = AudioFile(path, rate, to_peak=audio.level == "peak", centred=centred)
    level = file.measure(audio.trim_db)
    if not level.finite:
        raise AudioError(path, "holds NaN or infinite samples", "repair it first")
    if level.samples < 2:
        raise AudioError(path, f"holds {level.samples} samples", "a prompt needs at least 2")
    if level.silent:
        raise AudioError(path, "is silent", "leave out `prompt` to start from silence")
    gain = levels.gain_for(level.peak, audio.level, audio.peak_db)
    tail = np.zeros(0, np.float32)
    for block in file.blocks():
        tail = np.concatenate([tail, block])[-config.receptive_field :]
    x = distribution_for(config).encode(tail * np.float32(gain))
    return Prompt(x, gain, level.samples, file)
