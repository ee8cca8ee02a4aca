"""Sound as waveforms and mel spectrograms, which say what of it is a recording."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wavenet.glossary import Array, Wav
from wavenet.plotting import style
from wavenet.plotting.losses import Metrics, loss
from wavenet.plotting.style import BLUE, COLOUR_MAP, ORANGE, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

MEL_BANDS = 80
RANGE_DB = 70.0  # shown below the loudest point
# Of a mel band, in which a sine of full scale has 15 to 30 dB: what is softer is silence.
FLOOR_DB, LEAST_POWER = -60.0, 1e-12
TICKS_HZ = (500, 1000, 2000, 4000, 8000, 16000)

# Names of curves of pitch: a broad one and a thin one over it, which show where they are the same.
ASKED, FOUND = "pitch asked", "pitch found"
PITCH_STYLES: dict[str, dict[str, Any]] = {
    ASKED: {"linewidth": 5, "color": SKY, "alpha": 0.7},
    FOUND: {"linewidth": 1.2, "color": "white"},
}
ON_DARK: Any = {"facecolor": "black", "edgecolor": "none", "labelcolor": "white", "framealpha": 1}


@dataclass(frozen=True)
class Clip:
    """Audio to be drawn, of which the first seconds are a recording, and the others a model's."""

    wav: Wav
    recorded: float = 0.0
    """Seconds of it; infinite where all is a recording."""

    @classmethod
    def recording(cls, wav: Wav) -> "Clip":
        return cls(wav, math.inf)


@style.drawing
def sample(path: Path, clip: Clip, sample_rate: int, title: str) -> None:
    """A waveform above its mel spectrogram."""
    figure = style.blank(9, 4.4)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2])
    waveform(top, clip, sample_rate)
    top.set_title(title, loc="left", parse_math=False)
    decibel_scale(figure, spectrogram(bottom, clip.wav, sample_rate), [bottom])
    boundary(bottom, clip, sample_rate)
    _seconds([top, bottom], [clip.wav], sample_rate)
    style.save(figure, path)


def waveform(axes: "Axes", clip: Clip, sample_rate: int) -> None:
    """Amplitude over seconds: a recording blue, what a model made orange, and named so."""
    wav = clip.wav
    ends = min(len(wav), round(min(clip.recorded, len(wav) / sample_rate) * sample_rate))
    # The first sample that was made joins the two lines.
    parts = {"recording": (0, min(len(wav), ends + 1), BLUE), "model": (ends, len(wav), ORANGE)}
    at: Any = {"textcoords": "offset points", "va": "top", "fontsize": 9, "fontweight": "bold"}
    at |= {"xycoords": ("data", "axes fraction"), "xytext": (3, -2)}
    for name, (start, stop, color) in parts.items():
        if stop - start > 1:
            times = np.arange(start, stop) / sample_rate
            axes.plot(times, wav[start:stop], linewidth=0.4, color=color)
            axes.annotate(name, (start / sample_rate, 1), color=color, **at)
    # Digital silence gets a scale, too. Above the loudest sample there is room for the names.
    peak = max(0.05, float(np.abs(wav).max(initial=0)))
    axes.set_ylim(-1.1 * peak, 1.5 * peak)
    axes.set_ylabel("amplitude")


def spectrogram(axes: "Axes", wav: Wav, sample_rate: int) -> "AxesImage":
    """Log-mel power of a wav (time,) in dB over seconds, the loudest point at 0 dB."""
    return spectrograms([axes], [wav], sample_rate)[0]


def spectrograms(
    panels: Sequence["Axes"], wavs: Sequence[Wav], sample_rate: int
) -> list["AxesImage"]:
    """A spectrogram in each panel, with 0 dB at the loudest point of all."""
    window, bands = _window_and_bands(sample_rate)
    powers = [_mel_db(wav, sample_rate) for wav in wavs]
    loudest = max(FLOOR_DB, *(float(db.max()) for db in powers))
    # To the top of the scale, which is half of the rate.
    ticks = [0, *(f for f in TICKS_HZ if f <= sample_rate / 2)]
    images = []
    for axes, wav, db in zip(panels, wavs, powers, strict=True):
        extent = (0, max(window, len(wav)) / sample_rate, 0, bands)
        look: Any = {"origin": "lower", "aspect": "auto", "cmap": COLOUR_MAP, "extent": extent}
        # Not smoothed: a third of the bytes, and what is seen is what was computed.
        look["interpolation"] = "nearest"
        images.append(axes.imshow(db - loudest, vmin=-RANGE_DB, vmax=0, **look))
        heights = _heights(np.array(ticks), bands, sample_rate)
        axes.set_yticks(heights, [f"{f / 1000:g}" for f in ticks])
        axes.set_ylabel("kHz (mel)")
    return images


def _mel_db(wav: Wav, sample_rate: int) -> Array:
    """Mel power (bands, frames) in dB."""
    import librosa

    window, bands = _window_and_bands(sample_rate)
    padded = np.pad(wav, (0, max(0, window - len(wav))))
    mel = librosa.feature.melspectrogram(
        y=padded, sr=sample_rate, n_fft=window, hop_length=max(1, window // 8), n_mels=bands
    )
    db: Array = 10 * np.log10(np.maximum(mel, LEAST_POWER))
    return db


def decibel_scale(figure: "Figure", image: "AxesImage", beside: Sequence["Axes"]) -> None:
    """The scale of the spectrograms that a figure shows, beside some of its panels."""
    bar = figure.colorbar(image, ax=list(beside), pad=0.01, aspect=30, ticks=range(-60, 1, 20))
    bar.ax.set_yticklabels([str(db) for db in (60, 40, 20, 0)])
    bar.set_label("dB below the loudest")


def boundary(axes: "Axes", clip: Clip, sample_rate: int) -> None:
    """A mark where the recording ends and the model begins."""
    if 0 < clip.recorded < len(clip.wav) / sample_rate:
        axes.axvline(clip.recorded, color="white", linestyle="--", linewidth=1.2)
        at: Any = {"textcoords": "offset points", "va": "top", "fontsize": 9, "color": "white"}
        at |= {"xycoords": ("data", "axes fraction"), "fontweight": "bold"}
        axes.annotate("recording", (clip.recorded, 1), xytext=(-4, -4), ha="right", **at)
        axes.annotate("model", (clip.recorded, 1), xytext=(4, -4), ha="left", **at)


def _seconds(panels: Sequence["Axes"], wavs: Sequence[Wav], sample_rate: int) -> None:
    """The same seconds for all panels, named below each."""
    for axes in panels:
        axes.set_xlim(0, max(1, *map(len, wavs)) / sample_rate if wavs else 1)
        axes.tick_params(axis="x", labelbottom=True)
        axes.set_xlabel("seconds")


def _window_and_bands(sample_rate: int) -> tuple[int, int]:
    """The window of a spectrogram in samples, the power of two nearest to 32 ms, and its bands."""
    window = 2 ** round(np.log2(0.032 * sample_rate))
    return window, max(1, min(MEL_BANDS, window // 6))


def _heights(hz: Array, bands: int, sample_rate: int) -> Array:
    """Where frequencies (n,) lie on the axis of a spectrogram; NaN stays."""
    import librosa

    frequencies = librosa.mel_frequencies(bands, fmax=sample_rate / 2)
    heights: Array = np.interp(hz, frequencies, np.linspace(0, bands, bands))
    return heights


@style.drawing
def pitches(
    path: Path,
    clips: Mapping[str, Clip],
    sample_rate: int,
    curves: Mapping[str, Mapping[str, Array]],
    hop: int,
) -> None:
    """The mel spectrogram of each clip, one below the other, with curves of pitch over it.

    `clips` are by their titles. `curves` has some for each title, ASKED or FOUND: (frames, 2) as
    `audio.pitch` makes them, a MIDI note number and 1 where voiced, a frame every `hop` samples.
    Raises OutputError.
    """
    figure = style.blank(11, 2.9 * len(clips) + 0.3)
    rows = figure.subplots(len(clips), 1, squeeze=False, sharex=True)[:, 0].tolist()
    wavs = [clip.wav for clip in clips.values()]
    decibel_scale(figure, spectrograms(rows, wavs, sample_rate)[0], rows)
    for axes, (title, clip) in zip(rows, clips.items(), strict=True):
        # In a name, $ begins no formula.
        axes.set_title(title, loc="left", parse_math=False)
        boundary(axes, clip, sample_rate)
        pitch_curves(axes, curves[title], hop, sample_rate)
    _seconds(rows, wavs, sample_rate)
    style.save(figure, path)


def pitch_curves(axes: "Axes", curves: Mapping[str, Array], hop: int, sample_rate: int) -> None:
    """Curves of pitch over a spectrogram, ASKED or FOUND, as `pitches` has them."""
    import librosa

    _, bands = _window_and_bands(sample_rate)
    for name, frames in curves.items():
        hz = np.where(frames[:, 1] > 0, librosa.midi_to_hz(frames[:, 0]), np.nan)
        seconds = np.arange(len(frames)) * (hop / sample_rate)
        heights = _heights(hz, bands, sample_rate)
        axes.plot(seconds, heights, label=name, **PITCH_STYLES[name])
    if curves:
        axes.legend(loc="upper right", ncols=2, fontsize=9, **ON_DARK)


@style.drawing
def overview(
    path: Path,
    clips: Mapping[str, Clip],
    sample_rate: int,
    metrics: Metrics,
    baselines: Mapping[str, float],
) -> None:
    """Each clip's waveform and spectrogram side by side, and the loss of the run below them.

    `baselines` are bits per sample to compare the loss with, by name.
    """
    n = len(clips)
    figure = style.blank(12, 2.5 * n + 3)
    heights = [2.5] * n + [3]
    grid = figure.add_gridspec(n + 1, 2, height_ratios=heights, width_ratios=[1, 1.4])
    left = [figure.add_subplot(grid[row, 0]) for row in range(n)]
    right = [figure.add_subplot(grid[row, 1]) for row in range(n)]
    wavs = [clip.wav for clip in clips.values()]
    decibel_scale(figure, spectrograms(right, wavs, sample_rate)[0], right)
    for title, clip, wave, image in zip(clips, clips.values(), left, right, strict=True):
        waveform(wave, clip, sample_rate)
        wave.set_title(title, loc="left", parse_math=False)
        boundary(image, clip, sample_rate)
    lows, highs = zip(*(axes.get_ylim() for axes in left), strict=True)
    for axes in left:
        axes.set_ylim(min(lows), max(highs))
    _seconds([*left, *right], wavs, sample_rate)
    loss(figure.add_subplot(grid[n, :]), {"": metrics}, "minutes", baselines)
    style.save(figure, path)
