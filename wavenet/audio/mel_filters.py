"""The bands of mel frames: Slaney's, by librosa. Needs no torch."""

import warnings
from functools import lru_cache

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
