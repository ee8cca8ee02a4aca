"""The bands of mel frames: Slaney's, by librosa. Needs no torch."""

import warnings
from functools import lru_cache

import numpy as np

from wavenet.config import ModelConfig
from wavenet.errors import ConfigError
from wavenet.glossary import Array


@lru_cache(maxsize=8)
def filters(sample_rate: int, model: ModelConfig) -> Array:
    """Weights of every frequency in every band, (bands, window // 2 + 1), read-only.

    Raises ConfigError when a band would cover no frequency at all.
    """
    import librosa

    bands, window = model.mel_bands, model.frame_window
    # librosa warns of empty bands, which are refused below.
    with warnings.catch_warnings(action="ignore"):
        weights: Array = librosa.filters.mel(
            sr=sample_rate,
            n_fft=window,
            n_mels=bands,
            fmin=model.mel_low_hz,
            fmax=model.mel_high_hz,
        )
    empty = int((weights.max(axis=1) == 0).sum())
    if empty:
        cause = (
            f"model.frame_window = {window} tells frequencies {sample_rate / window:.3g} Hz apart"
        )
        reason = f"{empty} of them would hear nothing: {cause}"
        raise ConfigError(
            f"model.mel_bands = {bands}", reason, "use fewer bands or a longer window"
        )
    # The cache hands the same array to everybody.
    weights.flags.writeable = False
    return weights


def moved(frames: Array, low_hz: float, high_hz: float, model: ModelConfig) -> Array:
    """Log-mel frames (n, bands) of bands from `low_hz` to `high_hz` as those of the model's bands.

    At the middle of each of its bands lies what lies on a straight line between the middles of
    theirs; below their first it is the first, above their last the last. Such bands weigh a
    spectrum to its mean, so that what varies little within a band comes out as it is.
    """
    theirs = _middles(model.mel_bands, low_hz, high_hz)
    ours = _middles(model.mel_bands, model.mel_low_hz, model.mel_high_hz)
    shares = np.stack([np.interp(ours, theirs, band) for band in np.eye(len(theirs))])
    there: Array = (frames @ shares).astype(np.float32)
    return there


def _middles(bands: int, low_hz: float, high_hz: float) -> Array:
    import librosa

    edges: Array = librosa.mel_frequencies(n_mels=bands + 2, fmin=low_hz, fmax=high_hz)
    return edges[1:-1]
