"""Waveforms, spectrograms and curves, drawn without a screen."""

import io
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias

import numpy as np

from wavenet.errors import OutputError, WavenetError, reason_of
from wavenet.glossary import Array, Wav
from wavenet.system.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEL_BANDS = 80
RANGE_DB = 70.0  # shown below the loudest point

# A broad line and a thin one over it, which show both where they are the same.
PITCH_STYLES: list[dict[str, Any]] = [
    {"linewidth": 4, "color": "#4cc9f0", "alpha": 0.6},
    {"linewidth": 1.2, "color": "#ffffff"},
]

# The logged lines of a run, and what one of them says.
Metrics: TypeAlias = Sequence[Mapping[str, Any]]
Reading: TypeAlias = Callable[[Mapping[str, Any]], float]
# What curves can be drawn over.
AXES: dict[str, Reading] = {"steps": lambda m: m["step"], "hours": lambda m: m["seconds"] / 3600}


P = ParamSpec("P")


def drawing(draw: Callable[Concatenate[Path, P], None]) -> Callable[Concatenate[Path, P], None]:
    """`draw`, which takes a path first, with one error for all that its libraries raise.

    That is an OutputError. Too little memory stays a MemoryError.
    """

    @wraps(draw)
    def drawn(path: Path, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            draw(path, *args, **kwargs)
        except (WavenetError, MemoryError):
            raise
        except Exception as e:
            raise OutputError(path, f"cannot be drawn ({reason_of(e)})") from e

    return drawn


@drawing
def sample(path: Path, wav: Wav, sample_rate: int, title: str) -> None:
    """A waveform above its mel spectrogram."""
    figure = blank(9, 4)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2])
    waveform(top, wav, sample_rate)
    top.set_title(title, loc="left")
    spectrogram(bottom, wav, sample_rate)
    bottom.set_xlabel("seconds")
    save(figure, path)


def waveform(axes: "Axes", wav: Wav, sample_rate: int) -> None:
    """Amplitude over seconds."""
    axes.plot(np.arange(len(wav)) / sample_rate, wav, linewidth=0.4, color="#22577a")
    # Digital silence gets a scale, too.
    peak = max(0.05, float(np.abs(wav).max(initial=0)))
    axes.set_ylim(-1.05 * peak, 1.05 * peak)
    axes.margins(x=0)
    axes.set_ylabel("amplitude")


def spectrogram(axes: "Axes", wav: Wav, sample_rate: int) -> None:
    """Log-mel power over seconds, the loudest point at 0 dB."""
    import librosa

    window, bands = _window_and_bands(sample_rate)
    padded = np.pad(wav, (0, max(0, window - len(wav))))
    hop = max(1, window // 8)
    mel = librosa.feature.melspectrogram(
        y=padded, sr=sample_rate, n_fft=window, hop_length=hop, n_mels=bands
    )
    db = librosa.power_to_db(mel, ref=np.max, top_db=RANGE_DB)
    extent = (0, len(padded) / sample_rate, 0, bands)
    axes.imshow(db, origin="lower", aspect="auto", cmap="magma", extent=extent)
    ticks = [f for f in (250, 500, 1000, 2000, 4000, 8000, 16000) if f < sample_rate / 2]
    at = _heights(np.array(ticks), bands, sample_rate)
    axes.set_yticks(at, [f"{f / 1000:g}" for f in ticks])
    axes.set_ylabel("kHz (mel)")


def _window_and_bands(sample_rate: int) -> tuple[int, int]:
    """The window of a spectrogram in samples, the power of two nearest to 32 ms, and its bands."""
    window = 2 ** round(np.log2(0.032 * sample_rate))
    return window, min(MEL_BANDS, window // 6)


def _heights(hz: Array, bands: int, sample_rate: int) -> Array:
    """Where frequencies (n,) lie on the axis of a spectrogram; NaN stays."""
    import librosa

    frequencies = librosa.mel_frequencies(bands, fmax=sample_rate / 2)
    heights: Array = np.interp(hz, frequencies, np.arange(bands))
    return heights


@drawing
def pitches(
    path: Path,
    clips: Mapping[str, Wav],
    sample_rate: int,
    curves: Mapping[str, Mapping[str, Array]],
    hop: int,
) -> None:
    """The mel spectrogram of each clip, one below the other, with curves of pitch over it.

    `clips` are wavs (time,) by their titles. `curves` has some for each title, by name: (frames, 2)
    as `audio.pitch` makes them, a MIDI note number and 1 where voiced, a frame every `hop` samples.
    Raises OutputError.
    """
    import librosa

    figure = blank(11, 2.6 * len(clips) + 0.3)
    _, bands = _window_and_bands(sample_rate)
    rows = figure.subplots(len(clips), 1, squeeze=False)[:, 0]
    for axes, (title, wav) in zip(rows, clips.items(), strict=True):
        spectrogram(axes, wav, sample_rate)
        # In a name, $ begins no formula.
        axes.set_title(title, loc="left", fontsize=10, parse_math=False)
        for style, (name, frames) in zip(PITCH_STYLES, curves[title].items(), strict=False):
            hz = np.where(frames[:, 1] > 0, librosa.midi_to_hz(frames[:, 0]), np.nan)
            seconds = np.arange(len(frames)) * (hop / sample_rate)
            axes.plot(seconds, _heights(hz, bands, sample_rate), label=name, **style)
        if curves[title]:
            axes.legend(loc="upper right", fontsize=8)
    rows[-1].set_xlabel("seconds")
    save(figure, path)


def curve(axes: "Axes", metrics: Metrics, levels: int, marks: dict[str, float]) -> None:
    """Training and validation loss in bits per sample, over minutes of training.

    `marks` are horizontal lines to compare with: names and bits per sample.
    """
    thin = {"linewidth": 0.7, "color": "#999999", "label": "training"}
    dotted = {"marker": "o", "markersize": 3, "color": "#c1121f", "label": "validation"}
    drawn = _plot(axes, metrics, lambda m: m["seconds"] / 60, "train_bits", thin)
    drawn += _plot(axes, metrics, lambda m: m["seconds"] / 60, "validation_bits", dotted)
    on_line: Any = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
    for name, bits in marks.items():
        axes.axhline(bits, linestyle="--", linewidth=0.8, color="#22577a")
        axes.annotate(f"{name} {bits:.2f}", (0.99, bits), fontsize=8, **on_line)
    # Predicting all codes alike costs log2(levels) bits. What lies far above that is cut off.
    uniform, highest = np.log2(levels), max([*drawn, *marks.values(), 0.1])
    axes.set_ylim(top=min(uniform + 0.2, highest + 0.3))
    axes.set_xlabel("minutes of training")
    axes.set_ylabel("bits per sample")
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.9), frameon=False)


def _plot(axes: "Axes", metrics: Metrics, over: Reading, key: str, style: Any) -> list[float]:
    """What the lines say of a metric, over something else that they say; returns its values."""
    points = [(over(m), m[key]) for m in metrics if m.get(key) is not None]
    if points:
        axes.plot(*zip(*points, strict=True), **style)
    return [value for _, value in points]


@drawing
def curves(path: Path, runs: Mapping[str, Metrics], over: str) -> None:
    """Bits per sample of every run, over one of AXES: training thin, validation with markers."""
    figure = blank(9, 5)
    axes = figure.subplots()
    for i, (name, metrics) in enumerate(runs.items()):
        thin = {"linewidth": 0.6, "alpha": 0.6, "color": f"C{i}", "label": f"{name} training"}
        dotted = {"marker": "o", "markersize": 3, "color": f"C{i}", "label": f"{name} validation"}
        _plot(axes, metrics, AXES[over], "train_bits", thin)
        _plot(axes, metrics, AXES[over], "validation_bits", dotted)
    axes.set_xlabel("hours of training" if over == "hours" else "steps")
    axes.set_ylabel("bits per sample")
    axes.grid(alpha=0.3)
    for text in axes.legend(frameon=False).get_texts():
        # In a name, $ begins no formula.
        text.set_parse_math(False)
    save(figure, path)


@drawing
def overview(
    path: Path,
    clips: dict[str, Wav],
    sample_rate: int,
    metrics: Metrics,
    levels: int,
    marks: dict[str, float],
) -> None:
    """Each clip's waveform and spectrogram side by side, and the loss curve below them."""
    figure = blank(12, 2.3 * len(clips) + 3)
    heights = [2.3] * len(clips) + [3]
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=[1, 1.4])
    for row, (title, wav) in enumerate(clips.items()):
        left, right = figure.add_subplot(grid[row, 0]), figure.add_subplot(grid[row, 1])
        waveform(left, wav, sample_rate)
        left.set_title(title, loc="left", fontsize=10)
        spectrogram(right, wav, sample_rate)
    for axes in (left, right):
        axes.set_xlabel("seconds")
    curve(figure.add_subplot(grid[len(clips), :]), metrics, levels, marks)
    save(figure, path)


def save(figure: "Figure", path: Path) -> None:
    """Write a figure in the format of the path's suffix. Raises OutputError."""
    from matplotlib import rc_context

    image = io.BytesIO()
    kind = path.suffix[1:].lower()
    # With neither a date nor random names of its parts, the same figure makes the same file.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with rc_context({"svg.hashsalt": "wavenet"}), warnings.catch_warnings():
        # A name may hold what the font lacks, which is drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(image, format=kind, metadata=metadata)
    write_whole(path, image.getvalue())


def blank(width: float, height: float) -> "Figure":
    """An empty figure of this size in inches, drawn without a screen."""
    _import_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def _import_matplotlib() -> None:
    """Import it, whatever MPLBACKEND says.

    A notebook hands its own backend down to what it starts, where it may not be installed, and
    matplotlib then refuses to be imported. One that is there stays what others' plots use.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
