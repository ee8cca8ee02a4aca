"""A recording to continue."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wavenet.audio import levels
from wavenet.audio.reading import AudioFile, open_audio
from wavenet.errors import AudioError
from wavenet.glossary import AudioInput, Samples
from wavenet.model.arguments import require_type
from wavenet.model.checkpoint import Model
from wavenet.model.distributions.registry import distribution_for
from wavenet.system.files import given_path


@dataclass(frozen=True, eq=False)
class Prompt:
    """A recording to continue, which `read_prompt` makes: what a model hears of it.

    >>> import numpy as np, wavenet
    >>> wav = 0.3 * np.sin(0.1 * np.arange(1000))
    >>> wavenet.read_prompt(wav, wavenet.load("demo-voice"))
    Prompt(gain=1.0, whole_samples=1000)
    """

    x: Samples = field(repr=False)
    """Its last codes (time,), at most as many as the receptive field."""

    gain: float
    """What took it to the model's level."""

    whole_samples: int = 0
    """The length of all of it at the model's rate, where that is known."""

    recording: AudioFile | None = field(default=None, repr=False)
    """The whole of it, where it was read from a file."""

    sample_rate: int = field(default=0, repr=False)
    """Of the models that can continue it, in Hz; 0 for any."""

    levels: int = field(default=0, repr=False)
    """The number of codes of those models; 0 for any."""


def read_prompt(recording: AudioInput, model: Model) -> Prompt:
    """The end of a recording of any length: as much of it as the model's receptive field.

    It is a file, a wav (time,) in -1 ... 1 at the model's rate, or (wav, rate). Raises AudioError
    for one that cannot be continued.

    >>> import wavenet
    >>> model = wavenet.load("demo-voice")
    >>> prompt = wavenet.read_prompt(wavenet.generate(model, seconds=0.2, seed=7), model)
    >>> prompt.x.shape  # codes (time,)
    (2047,)
    """
    require_type("model", model, Model, "`wavenet.load` gives one")
    config, audio, rate = model.config.model, model.config.audio, model.config.audio.sample_rate
    # Models that were trained on recordings with their offsets expect those.
    centred = model.training.decoding > 1
    is_file = isinstance(recording, str | Path)
    path = given_path("prompt", recording) if is_file else "`prompt`"
    to_peak = audio.level == "peak"
    file = open_audio(recording, rate, str(path), to_peak=to_peak, centred=centred)
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
    distribution, whole = distribution_for(config), file if isinstance(file, AudioFile) else None
    x = distribution.encode(tail * np.float32(gain))
    return Prompt(x, gain, level.samples, whole, rate, distribution.levels)
