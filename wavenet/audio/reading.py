"""Audio files in: recordings of any format, as mono float blocks at the rate asked for.

Everything streams, so a recording of any length passes at flat memory. All that can be decoded is
read. Where that is other than the file promises, or where its samples were repaired, notes say so.
"""

import os
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from wavenet.audio import containers, repair
from wavenet.audio.arrays import as_array, as_rate
from wavenet.audio.containers import Content, Mp3Data, Part
from wavenet.audio.decoders import BLOCK_SAMPLES, Block, Ffmpeg, Libsndfile, libsndfile_reason
from wavenet.audio.levels import Level, measure
from wavenet.audio.repair import Repair, Statistics
from wavenet.errors import AudioError
from wavenet.glossary import Array, AudioInput, Wav

# So much may be missing untold: codecs have blocks, and long ones where they compress.
BLOCK_SECONDS = 0.002
LOSSY_BLOCK_SECONDS = 0.1
LOSSY = ("MP3", "OGG")


class AudioReader(ABC):
    """A recording that is read as often as needed: mono, at `sample_rate` Hz.

    `measure` reads all of it, decides whether its samples need repair, and reads it again until
    they need no more. Then `blocks` gives it as it is to be used, and `notes` say what was done.
    With `to_peak` its loudest sample is to decide on its level, so that wild ones are looked for.
    Unless it is to be `centred`, a constant offset stays.
    """

    def __init__(self, sample_rate: int, *, to_peak: bool = False, centred: bool = True) -> None:
        self.sample_rate = sample_rate
        self._to_peak, self._centred = to_peak, centred
        self._repair, self._clipped = Repair(), 0
        self._statistics, self._counts_levels = Statistics(), False
        # How much was decoded of each pair of rate, in Hz, and channels.
        self._seconds: dict[tuple[int, int], float] = defaultdict(float)
        self._container_notes: list[str] = []

    @abstractmethod
    def _decoded(self) -> Iterator[Block]:
        """As it is stored. What is to be said of its container is known at the end."""

    @property
    def notes(self) -> list[str]:
        """What was other than it should be, and what was done about it, a few words each."""
        return self._container_notes + repair.notes(self._repair, self._clipped)

    @property
    def format(self) -> tuple[int, int]:
        """The rate in Hz and the channels of most of it as recorded; 0 before it is read."""
        return max(self._seconds, key=lambda key: self._seconds[key], default=(0, 0))

    def measure(self, trim_db: float) -> Level:
        """Read all of it, as often as it takes, for its length, loudness and extent of sound."""
        while True:
            level = measure(self.blocks(), self.sample_rate, trim_db)
            if not self.refine(level):
                return level

    def refine(self, level: Level) -> bool:
        """Whether it is to be read and measured again, having been read to its end: for repair."""
        statistics = self._statistics
        offset = level.offset if self._centred else 0.0
        better = repair.refined(self._repair, statistics, offset, self._to_peak)
        is_suspect = statistics.peak > 1 or (self._to_peak and level.spiky)
        counts = self._counts_levels or (statistics.finite and is_suspect)
        before = self._repair, self._counts_levels
        self._repair, self._counts_levels = better, counts
        return before != (better, counts)

    def blocks(self) -> Iterator[Wav]:
        """Float32 blocks (time,), repaired as far as is known."""
        self._seconds.clear()
        self._clipped = 0
        self._statistics = repair.counting_levels() if self._counts_levels else Statistics()
        resampler, rate = None, self.sample_rate
        end = np.zeros(0, np.float32)
        for samples, block_rate in self._decoded():
            self._seconds[block_rate, samples.shape[1]] += len(samples) / block_rate
            wav, clipped = self._repair.mono(samples)
            self._clipped += clipped
            self._statistics.add(samples, wav)
            if block_rate != rate:
                # The first block, or the next of several recordings in one file.
                if resampler is not None:
                    yield resampler.resample_chunk(end, last=True)
                resampler, rate = self._resampler(block_rate), block_rate
            yield wav if resampler is None else resampler.resample_chunk(wav)
        if resampler is not None:
            yield resampler.resample_chunk(end, last=True)

    def _resampler(self, rate: int) -> soxr.ResampleStream | None:
        if rate == self.sample_rate:
            return None
        return soxr.ResampleStream(rate, self.sample_rate, 1, dtype="float32", quality="HQ")


class AudioArray(AudioReader):
    """Mono samples (time,) in memory, recorded at `rate` Hz."""

    def __init__(self, wav: Array, rate: int, sample_rate: int, **how: bool) -> None:
        super().__init__(sample_rate, **how)
        self._wav, self._rate = wav, rate

    def _decoded(self) -> Iterator[Block]:
        for start in range(0, len(self._wav), BLOCK_SAMPLES):
            samples = self._wav[start : start + BLOCK_SAMPLES, None].astype(np.float32)
            yield Block(samples, self._rate)


class AudioFile(AudioReader):
    """A recording in a file of any format.

    Raises AudioError for a file that is no recording, or of which nothing can be decoded.
    """

    def __init__(self, path: Path, sample_rate: int, **how: bool) -> None:
        if path.is_dir():
            raise AudioError(path, "is a folder, not a recording", "give one audio file")
        if not path.is_file():
            problem = "is not a regular file" if path.exists() else "no such file"
            raise AudioError(path, problem)
        super().__init__(sample_rate, **how)
        self.path = path

    def _decoded(self) -> Iterator[Block]:
        notes = self._container_notes = []
        try:
            with open(self.path, "rb") as file:
                content = Content(file)
                parts = containers.parts(content)
                if len(parts) > 1:
                    notes.append(f"{len(parts)} recordings joined in one file")
                for part in parts:
                    yield from self._decoded_part(content, part, is_whole=len(parts) == 1)
        except OSError as e:
            raise AudioError(self.path, f"cannot be read ({e.strerror or e})") from None

    def _decoded_part(self, content: Content, part: Part, is_whole: bool) -> Iterator[Block]:
        """One recording, by libsndfile and, where that ends early, by FFmpeg from there on."""
        state = _State()
        wav, mp3 = containers.wav_data(content, part), containers.mp3_data(content, part)
        if wav:
            state.header_is_finished = wav.finished
        if state.header_is_finished:
            yield from self._by_libsndfile(state, content, part, mp3, is_whole)
        if not state.is_complete:
            yield from self._by_ffmpeg(state, part)
        if not state.seconds and (state.problem or not state.is_known):
            problem = state.problem or "damaged"
            raise AudioError(self.path, f"cannot be read as audio ({problem})")
        if wav:
            # libsndfile counts the byte that pads a chunk of GSM 6.10.
            pad = int(state.subtype == "GSM610")
            state.is_damaged |= wav.promised > wav.found + pad
            state.promised = max(state.promised, state.seconds * wav.promised / max(1, wav.found))
        if mp3:
            state.is_damaged |= mp3.promised > mp3.found
        state.is_damaged |= containers.is_cut_ogg(content, part)
        if note := state.note:
            self._container_notes.append(note)

    def _by_libsndfile(
        self, state: "_State", content: Content, part: Part, mp3: Mp3Data | None, is_whole: bool
    ) -> Iterator[Block]:
        try:
            with closing(Libsndfile(self.path, None if is_whole else part)) as opened:
                file = opened.file
                state.is_known, state.subtype = True, file.subtype
                state.is_lossy = file.format in LOSSY or file.subtype.startswith("MPEG")
                state.header_is_finished = file.frames < containers.NO_LENGTH
                if file.format not in ("WAV", "WAVEX"):
                    state.is_damaged = containers.lacks_bytes(file.extra_info)
                if mp3 and not mp3.is_measured:
                    return
                state.promised = opened.promised_seconds(content.at(part.start, 1024))
                for block in opened.blocks():
                    state.seconds += len(block.samples) / block.rate
                    yield block
                frames = state.seconds * file.samplerate
                state.is_complete = frames > 0 and frames >= file.frames - 0.5
        except Libsndfile.ERRORS as e:
            state.problem = libsndfile_reason(e)
            # What it cannot even open may be whole, and another library's.
            state.is_damaged |= state.is_known

    def _by_ffmpeg(self, state: "_State", part: Part) -> Iterator[Block]:
        try:
            skip, believed = state.seconds, state.header_is_finished
            with closing(Ffmpeg(self.path, part, skip, believed)) as opened:
                state.promised = max(state.promised, opened.promised_seconds)
                state.is_lossy |= not state.is_known
                for block in opened.blocks():
                    state.seconds += len(block.samples) / block.rate
                    yield block
                state.is_damaged |= opened.is_damaged
        except Ffmpeg.ERRORS as e:
            state.problem = state.problem or libsndfile_reason(e)


@dataclass
class _State:
    """How the reading of one recording goes."""

    seconds: float = 0.0  # decoded
    promised: float = 0.0  # seconds
    is_known: bool = False  # to libsndfile
    is_lossy: bool = False
    is_complete: bool = False
    is_damaged: bool = False
    header_is_finished: bool = True
    subtype: str = ""  # as libsndfile calls it
    problem: str = ""

    @property
    def note(self) -> str:
        """What is to be said of it; "" when it is as it promises."""
        if not self.header_is_finished:
            return "its header was never finished: read to the end"
        if self.promised - self.seconds > (LOSSY_BLOCK_SECONDS if self.is_lossy else BLOCK_SECONDS):
            return f"only {self.seconds:.3g} of its {self.promised:.3g} s can be read"
        if self.is_damaged:
            return f"cut off or damaged: {self.seconds:.3g} s of it can be read"
        return ""


def wav_and_rate(source: AudioInput, sample_rate: int, name: str) -> tuple[Array, int]:
    """The samples (time,) that a user of the library gives, and their rate in Hz.

    It is the one that comes with them, as `(wav, rate)` or in a `wavenet.Audio`, or `sample_rate`.
    `name` is what errors call them. Raises AudioError for what is no mono audio in floats.
    """
    # Of a `wavenet.Audio` it may be unknown.
    rate = getattr(source, "sample_rate", None) or sample_rate
    if isinstance(source, tuple):
        if len(source) != 2:
            raise AudioError(name, f"is a tuple of {len(source)}", "give (wav, rate)")
        source, rate = source
        if as_rate(source) and np.ndim(as_array(rate)):
            raise AudioError(name, "is a tuple of (rate, wav)", "give (wav, rate)")
        if isinstance(source, str | Path) or np.ndim(as_array(rate)):
            advice = "several recordings are a list"
            raise AudioError(name, "is a tuple, but not of (wav, rate)", advice)
    wav, hertz = as_array(source), as_rate(rate)
    if wav.dtype.kind in "OUS":
        advice = "give a path, an array of floats (time,), or (wav, rate)"
        raise AudioError(name, f"is of type {type(source).__name__}", advice)
    if wav.ndim != 1:
        reason = f"has shape {wav.shape} instead of (time,)"
        raise AudioError(name, reason, "give the samples of one channel")
    if len(wav) and wav.dtype.kind != "f":
        raise AudioError(name, f"holds {wav.dtype} numbers", "give floats in -1 ... 1")
    if hertz is None:
        raise AudioError(name, f"has a rate of {rate}", "give it in Hz, as in (wav, 44100)")
    return wav, hertz


def open_audio(source: AudioInput, sample_rate: int, name: str, **how: bool) -> AudioReader:
    """A recording in a file or in memory, to be read at `sample_rate`; see `wav_and_rate`."""
    if isinstance(source, str | Path):
        return AudioFile(Path(os.path.expanduser(source)), sample_rate, **how)
    wav, rate = wav_and_rate(source, sample_rate, name)
    return AudioArray(wav, rate, sample_rate, **how)


def read_blocks(path: Path, sample_rate: int, *, centred: bool = True) -> Iterator[Wav]:
    """A recording's mono float32 blocks (time,), repaired. Raises AudioError."""
    file = AudioFile(path, sample_rate, centred=centred)
    file.measure(trim_db=60.0)
    yield from file.blocks()
