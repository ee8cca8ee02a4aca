"""Pitch frame by frame, without a look at other frames: for recordings that still come.

It is found by YIN (de Cheveigné and Kawahara 2002). Where a whole recording is there, `pitch` tells
voiced frames from others more surely.
"""

import numpy as np

from wavenet.audio.pitch import Range
from wavenet.glossary import Array, Wav

# The first dip of YIN's difference function below this is the period. With librosa's 0.1 more of
# the frames of voices and instruments are found an octave too low.
THRESHOLD = 0.2
# A frame is voiced where its normalised autocorrelation at the period is above this.
VOICED_CORRELATION = 0.8


def frames_of(samples: Wav, found: Range) -> Array:
    """Pitch and voicing of frames, float32 (frames, 2): MIDI notes with fractions, and 1 or 0.

    Frame j is of samples[j * hop : j * hop + window], and there are as many as fit in. The note of
    an unvoiced frame means nothing.
    """
    import librosa

    hz = librosa.yin(samples, **found.arguments, trough_threshold=THRESHOLD)
    frames = np.lib.stride_tricks.sliding_window_view(samples, found.window)[:: found.hop]
    periods = np.rint(found.sample_rate / hz).astype(np.int64)
    correlations = [_autocorrelation(frame, p) for frame, p in zip(frames, periods, strict=True)]
    voiced = np.array(correlations) > VOICED_CORRELATION
    return np.stack([librosa.hz_to_midi(hz), voiced], axis=1).astype(np.float32)


def _autocorrelation(frame: Wav, lag: int) -> float:
    """Normalised, -1 to 1; 0 for silence."""
    before, after = frame[:-lag].astype(np.float64), frame[lag:].astype(np.float64)
    power = np.sqrt((before @ before) * (after @ after))
    return float(before @ after / power) if power else 0.0
