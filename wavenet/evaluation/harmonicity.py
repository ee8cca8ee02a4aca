"""How clean a tone is: its harmonics against what lies between them."""

import numpy as np

from wavenet.glossary import Array, Wav

WINDOW_SECONDS = 0.128
# Of a spectrum, what is as near to a multiple of the pitch belongs to it, in Hz. Of notes that are
# lower there would be little between.
NEAR_HZ = 25.0
LOWEST_HZ = 150.0
# A note is steady where its pitch stays within as many semitones throughout the window.
STEADY_SEMITONES = 0.3


def harmonics_to_noise(wav: Wav, sample_rate: int, pitch: Array, hop: int) -> Array:
    """Power at the harmonics over the power of the rest, in dB, of each frame of a steady note.

    `pitch` is (frames, 2) as `audio.pitch` makes it, and of frame j at sample `hop * j`. Left out
    are frames that are unvoiced, lower than LOWEST_HZ or within half a window of an end or a leap.
    """
    window = 2 * round(WINDOW_SECONDS * sample_rate / 2)
    beside = -(-window // (2 * hop))
    frequencies = np.fft.rfftfreq(window, 1 / sample_rate)
    ratios = []
    for j in range(beside, len(pitch) - beside):
        around = pitch[j - beside : j + beside + 1]
        hertz = 440 * 2 ** ((float(pitch[j, 0]) - 69) / 12)
        is_steady = around[:, 1].all() and np.ptp(around[:, 0]) <= STEADY_SEMITONES
        segment = wav[hop * j - window // 2 : hop * j + window // 2]
        if hertz < LOWEST_HZ or not is_steady or len(segment) < window:
            continue
        power = np.abs(np.fft.rfft(segment * np.hanning(window))) ** 2
        number = np.maximum(1, np.rint(frequencies / hertz))
        is_near = np.abs(frequencies - hertz * number) < NEAR_HZ
        ratios.append(10 * np.log10(power[is_near].sum() / max(power[~is_near].sum(), 1e-12)))
    return np.array(ratios)
