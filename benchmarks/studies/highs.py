"""Recordings of a lower rate with noise where they have nothing: a vocoder learns the whole band.

    python -m benchmarks.studies.highs FOLDER OUT [--rate 22050]

writes those of FOLDER to OUT at --rate, which is to be a third higher than theirs or more. Above
what their own rate holds lies noise, in each moment as loud as the third of an octave below, and
falling as recordings of the whole band do. Without it, what a vocoder predicts would be silent up
there, which is most of what it then learns.
"""

import argparse
from pathlib import Path

import librosa
import numpy as np
import soundfile as sf
import soxr

from wavenet.data.discovery import audio_files
from wavenet.glossary import Array

WINDOW, HOP = 512, 128
# Of the rate that a recording has: noise is as loud as what lies between these.
MEASURED = (0.375, 0.46875)
# How noise rises where the recording ends, times that rate, in dB ...
RISE = ((0.48125, -60.0), (0.49375, 0.0))
# ... and how it falls from there, times the new rate: as in LJ Speech, of 22,050 Hz.
FALL = ((0.408, -3.0), (0.4535, -6.0), (0.476, -10.0), (0.49, -20.0), (0.5, -50.0))


def with_highs(wav: Array, old: int, new: int) -> Array:
    """A recording (time,) of rate `old` at rate `new`, with noise above `old` / 2."""
    wav = soxr.resample(wav.astype(np.float64), old, new)
    frequencies = np.fft.rfftfreq(WINDOW, 1 / new)
    spectrum = np.abs(_stft(wav)) ** 2  # (257, frames)
    low, high = (share * old for share in MEASURED)
    loudness = np.sqrt(spectrum[(frequencies > low) & (frequencies < high)].mean(axis=0))
    edges, gains = zip(
        *((old * x, gain) for x, gain in RISE), *((new * x, gain) for x, gain in FALL), strict=True
    )
    gain = 10 ** (np.interp(frequencies, edges, gains) / 20)
    gain[frequencies <= 0.475 * old] = 0
    noise = _stft(np.random.default_rng(len(wav)).standard_normal(len(wav)))
    noise /= np.sqrt((np.abs(noise) ** 2).mean())
    shaped = noise * loudness * gain[:, None]
    wav = wav + librosa.istft(shaped, n_fft=WINDOW, hop_length=HOP, length=len(wav))
    louder: Array = wav / max(1, np.abs(wav).max() / 0.99)
    return louder


def _stft(wav: Array) -> Array:
    spectrum: Array = librosa.stft(wav, n_fft=WINDOW, hop_length=HOP)
    return spectrum


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rate", type=int, default=22050)
    options = parser.parse_args()
    for file in audio_files(options.folder)[0]:
        wav, rate = sf.read(file.path, always_2d=True)
        if 4 * rate > 3 * options.rate:
            parser.error(f"{file.name} has {rate} Hz, which leaves too little above")
        path = (options.out / file.name).with_suffix(".flac")
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, with_highs(wav.mean(axis=1), rate, options.rate), options.rate)


if __name__ == "__main__":
    main()
