"""The pitch of recordings at frame rate, as MIDI notes with fractions: 69 is 440 Hz.

It is found by pYIN (Mauch and Dixon 2014), for what has one pitch at a time: voices, and
instruments that play alone. pYIN decides which frames are voiced and which of several pitches is
the likely one, in steps of a third of a semitone; YIN tells the pitch within such a step. Of a
pitch above a thirteenth of the sample rate, a period is so few samples that it may be found an
octave too low. Low tones without harmonics come out a little sharp.

Recordings are computed in pieces that overlap, which takes the same memory for any length, and
which several processes share.
"""

import signal
import threading
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from wavenet.audio.framing import count, padded
from wavenet.audio.quantization import from_pcm16
from wavenet.audio.trimming import SILENCE_DBFS
from wavenet.errors import AudioError, UsageError, WavenetError, reason_of
from wavenet.glossary import Array, Pcm, Wav
from wavenet.system.machine import cores

# Of the lowest pitch, in one frame: librosa wants more than two. With more of them a pitch that
# glides is blurred, and instruments are tracked no better.
PERIODS = 2.2
# Finer steps take the square of the time; coarser ones take more of speech for unvoiced.
STEPS_PER_SEMITONE = 3
# By librosa's default: how fast a pitch may move.
OCTAVES_PER_SECOND = 35.92
# Frames before and after a piece that are computed with it and dropped. From 32 on, no frame of
# speech or music differed from what the whole recording gave.
OVERLAP = 64
# Samples in all frames of a piece, those that frames share counted again.
PIECE_SAMPLES = 1 << 21
# Fewer frames than this take one process less time than starting others does.
FEW_FRAMES = 20_000


class Range(NamedTuple):
    """What is looked for: pitches from `low_hz` to `high_hz`, `hop` samples from frame to frame."""

    sample_rate: int
    hop: int
    low_hz: float
    high_hz: float

    @property
    def window(self) -> int:
        """Samples of a frame: an even number."""
        return 2 * int(np.ceil(PERIODS * self.sample_rate / self.low_hz / 2)) + 4

    @property
    def middle(self) -> float:
        """The note in the middle of the range."""
        return float(69 + 12 * np.log2(np.sqrt(self.low_hz * self.high_hz) / 440))

    @property
    def arguments(self) -> dict[str, Any]:
        """Of librosa's `pyin` and `yin`, for samples that nothing is to be padded to."""
        return {
            "fmin": self.low_hz,
            "fmax": self.high_hz,
            "sr": self.sample_rate,
            "frame_length": self.window,
            "hop_length": self.hop,
            "center": False,
        }

    def check(self) -> None:
        """Raise UsageError where the range cannot be."""
        if self.hop < 1:
            raise UsageError("hop", self.hop, "must be at least 1")
        if not 0 < self.low_hz <= self.high_hz / 2:
            reason = f"must be above 0 and an octave or more below `high_hz` {self.high_hz:g}"
            raise UsageError("low_hz", f"{self.low_hz:g}", reason)
        if self.high_hz > self.sample_rate / 2:
            reason = f"must be at most half the sample rate, {self.sample_rate / 2:g}"
            raise UsageError("high_hz", f"{self.high_hz:g}", reason)


class Piece(NamedTuple):
    """The samples under some frames of a recording, and how many frames of overlap they have."""

    samples: Array
    before: int
    after: int


def track(wav: Wav, sample_rate: int, hop: int, low_hz: float, high_hz: float) -> Array:
    """Pitch and voicing of a whole recording: float32 (frames, 2), with `framing.count` frames.

    Frame j is centred on sample j * hop; silence pads the ends. Column 0 is the pitch as a MIDI
    note with fractions; where a frame is unvoiced, that of the nearest voiced one, and of a
    recording without any, the middle of the range. Column 1 is 1 where a frame is voiced (it has a
    pitch between `low_hz` and `high_hz` and is louder than silence) and 0 elsewhere.

    Raises UsageError for a range that cannot be, and for a wav with NaN or infinite samples.
    """
    found = Range(sample_rate, hop, low_hz, high_hz)
    found.check()
    if not np.isfinite(wav).all():
        raise UsageError("wav", None, "holds NaN or infinite samples", "repair it first")
    return _joined([_track_piece(piece, found) for piece in _pieces(wav, found)], found)


def tracks(
    pcms: Iterable[tuple[str, Pcm]],
    sample_rate: int,
    hop: int,
    low_hz: float,
    high_hz: float,
    processes: int | None = None,
) -> Iterator[tuple[str, Array]]:
    """`track` of many recordings, given as (name, pcm): yields (name, frames) in their order.

    `processes` is how many compute: by default one for each core, and only this one where there is
    little to do. `pcms` is read a little ahead, and an error that it raises comes after the frames
    of what it gave before.

    Raises UsageError for a range that cannot be, and AudioError for a recording whose pitch could
    not be computed because a process ended or memory ran out.
    """
    found = Range(sample_rate, hop, low_hz, high_hz)
    found.check()
    if processes is not None and processes < 1:
        raise UsageError("processes", processes, "must be at least 1")
    return _tracks(pcms, found, processes)


def _tracks(
    pcms: Iterable[tuple[str, Pcm]], found: Range, processes: int | None
) -> Iterator[tuple[str, Array]]:
    if processes is None:
        pcms, little = _begun(pcms, found.hop)
        processes = 1 if little else cores()
    # (name, number of pieces) of every recording that was read.
    read: list[tuple[str, int]] = []
    failed: list[BaseException] = []

    def pieces() -> Iterator[Piece]:
        # A thread of joblib's runs this, where an exception would be lost.
        try:
            for name, pcm in pcms:
                read.append((name, -(-count(len(pcm), found.hop) // _piece_frames(found))))
                yield from _pieces(pcm, found)
        except BaseException as e:
            failed.append(e)

    with closing(_computed(pieces(), found, processes)) as results:
        parts: list[Array] = []
        name = ""
        try:
            for part in results:
                parts.append(part)
                name, needed = read[0]
                if len(parts) == needed:
                    del read[0]
                    frames, parts = _joined(parts, found), []
                    yield name, frames
        except (WavenetError, GeneratorExit):
            raise
        except Exception as e:
            name = read[0][0] if read else name
            advice = "close other programs, or use fewer `processes`"
            raise AudioError(
                name, f"its pitch could not be computed: {reason_of(e)}", advice
            ) from e
    if failed:
        raise failed[0]


def _begun(pcms: Iterable[tuple[str, Pcm]], hop: int) -> tuple[Iterable[tuple[str, Pcm]], bool]:
    """All recordings, of which the first were read, and whether they have FEW_FRAMES together."""
    rest = iter(pcms)
    first: list[tuple[str, Pcm]] = []
    frames = 0
    for name, pcm in rest:
        first.append((name, pcm))
        frames += count(len(pcm), hop)
        if frames >= FEW_FRAMES:
            return chain(first, rest), False
    return first, True


def _computed(
    pieces: Iterator[Piece], found: Range, processes: int
) -> Generator[Array, None, None]:
    """`_track_piece` of each, in their order, in several processes if there are to be several."""
    if processes == 1:
        yield from (_track_piece(piece, found) for piece in pieces)
        return
    from joblib import Parallel, delayed, parallel_config

    # Arrays travel through pipes: files of shared memory would outlive an interrupt.
    with parallel_config("loky", inner_max_num_threads=1, n_jobs=processes, max_nbytes=None):
        parallel = Parallel(return_as="generator", batch_size=1)
        with _deaf_to_ctrl_c():
            results = parallel(delayed(_track_piece)(piece, found) for piece in pieces)
        # joblib would warn a reader that stops early, of what was computed in vain.
        try:
            while (frames := next(results, None)) is not None:
                yield frames
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results.close()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Ctrl-C is ignored inside, and by the processes that start inside for as long as they live.

    A terminal sends it to all of them, and theirs would print tracebacks before this one, which
    ends them, does. A mask would not do: what starts first of joblib's lifts it.
    """
    # Python lets the main thread alone handle signals.
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not is_main or before is None:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _piece_frames(found: Range) -> int:
    return int(max(4 * OVERLAP, PIECE_SAMPLES // found.window))


def _pieces(wav: Array, found: Range) -> Iterator[Piece]:
    """A recording, wav or pcm, as pieces of `_piece_frames` frames each and their overlap."""
    frames, step = count(len(wav), found.hop), _piece_frames(found)
    for first in range(0, frames, step):
        stop = min(first + step, frames)
        low, high = max(0, first - OVERLAP), min(frames, stop + OVERLAP)
        samples = padded(wav, low, high - 1, found.window, found.hop)
        yield Piece(samples, first - low, high - stop)


def _track_piece(piece: Piece, found: Range) -> Array:
    """Note and voicing of each frame of a piece, float64 (frames, 2)."""
    import librosa

    wav = from_pcm16(piece.samples) if piece.samples.dtype == np.int16 else piece.samples
    # librosa rounds to whole semitones from frame to frame, which would be 0 for a small hop, and
    # takes no more of them than the range has.
    semitones = OCTAVES_PER_SECOND * 12 * found.hop / found.sample_rate
    most = int(12 * np.log2(found.high_hz / found.low_hz))
    semitones = min(max(1, round(semitones)), most - 1)
    hz, voiced, _ = librosa.pyin(
        wav,
        **found.arguments,
        resolution=1 / STEPS_PER_SEMITONE,
        max_transition_rate=semitones * found.sample_rate / (12 * found.hop),
        fill_na=None,
    )
    notes = librosa.hz_to_midi(hz)
    fine = librosa.hz_to_midi(librosa.yin(wav, **found.arguments))
    # YIN alone may be octaves off.
    notes = np.where(np.abs(fine - notes) <= 1 / STEPS_PER_SEMITONE, fine, notes)
    # Rounding errors in what is all but silent can have a pitch.
    level = librosa.feature.rms(
        y=wav, frame_length=found.window, hop_length=found.hop, center=False
    )[0]
    voiced &= level > 10 ** (SILENCE_DBFS / 20)
    both = np.stack([notes, voiced], axis=1)
    return both[piece.before : len(both) - piece.after]


def _joined(parts: list[Array], found: Range) -> Array:
    """The frames of a recording, whose unvoiced ones get the note of the nearest voiced one."""
    frames: Array = np.concatenate(parts).astype(np.float32)
    voiced = np.flatnonzero(frames[:, 1])
    if not len(voiced):
        frames[:, 0] = found.middle
        return frames
    # Half way between one voiced frame and the next, the earlier one counts.
    borders = (voiced[1:] + voiced[:-1]) / 2
    frames[:, 0] = frames[voiced[np.searchsorted(borders, np.arange(len(frames)))], 0]
    return frames
