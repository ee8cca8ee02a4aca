"""How recordings were read before `reading` could repair them: for runs that began with it.

What is decoded for a run never changes, so neither does this. It is libsndfile alone, the mean of
the channels, and no file whose end is missing.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import soxr

from wavenet.audio.decoders import Libsndfile, libsndfile_reason
from wavenet.errors import AudioError
from wavenet.glossary import Wav

# A file may lack this fraction of the length that its header announces; one that lacks more is
# damaged.
MAX_MISSING_FRACTION = 0.01


def read_blocks(path: Path, sample_rate: int) -> Iterator[Wav]:
    """Mono float32 blocks (time,) of a recording at `sample_rate` Hz. Raises AudioError."""
    try:
        with closing(Libsndfile(path)) as opened:
            frames, announced, rate = 0, opened.file.frames, opened.file.samplerate
            resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
            same_rate = rate == sample_rate
            for samples, _ in opened.blocks():
                frames += len(samples)
                mono = samples.mean(axis=1, dtype=np.float32)
                yield mono if same_rate else resampler.resample_chunk(mono)
            if not same_rate:
                yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    except Libsndfile.ERRORS as e:
        raise AudioError(path, f"cannot be read as audio ({libsndfile_reason(e)})") from None
    if frames < (1 - MAX_MISSING_FRACTION) * announced:
        read, length = frames / rate, announced / rate
        raise AudioError(path, f"damaged: only {read:.1f} of its {length:.1f} s can be read")
