"""Random numbers as an input: uniforms from a counter keyed by (seed, stream, time)."""

from collections.abc import Sequence

import numpy as np

from wavenet.glossary import Noise


def uniforms(seed: int, stream: int, start: int, count: int) -> Noise:
    """Noise for times `start` to `start + count` of one stream: (count,) in float32.

    (k + 1/2) / 2^23, so never 0 and never 1.
    """
    # Each value of the counter yields four words.
    counter = [start // 4, 0, 0, 0]
    bits = np.random.Philox(key=np.array([seed, stream], np.uint64), counter=counter)
    words = bits.random_raw(start % 4 + count)[start % 4 :]
    return ((words >> np.uint64(41)).astype(np.float32) + np.float32(0.5)) * np.float32(2**-23)


def noise_for(seed: int, streams: Sequence[int], start: int, count: int, n_noise: int) -> Noise:
    """The noise of several streams from `start` on, for engines: (streams, count, n_noise)."""
    rows = [uniforms(seed, stream, start * n_noise, count * n_noise) for stream in streams]
    return np.stack(rows).reshape(len(streams), count, n_noise)
