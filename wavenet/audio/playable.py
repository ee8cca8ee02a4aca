"""Audio as an array that plays in a notebook and can be saved: what the library returns."""

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from wavenet.audio.arrays import MOST_HZ, as_array, as_rate
from wavenet.errors import AudioError, UsageError
from wavenet.glossary import Array, Number, Wav
from wavenet.system.files import given_path, make_folder_of

# What a notebook, which keeps all that it shows, is given of it.
MOST_CLIPS, MOST_SECONDS, MOST_BYTES = 16, 60, 8_000_000


class Audio(np.ndarray[Any, np.dtype[np.float32]]):
    """float32 audio (time,) or (clips, time) in -1 ... 1: a NumPy array that knows its sample rate.

    In a notebook it is a player, for each clip one (up to 16, of a minute each, less of many). It
    can be sliced, computed with and handed to other libraries as any array. What is no audio any
    more, such as a comparison, is a plain array, and a single number is a NumPy scalar. So is a
    concatenation a plain array: `Audio(wav, sample_rate)` plays it, or audio of any other origin.

        sample_rate   in Hz; None where it is unknown, as of a sum of audio at two rates
        seed          that it was drawn with; None for audio of other origin
        tags          texts for the metadata of each clip's file, or none; see `save`

    Seed and tags stay with slices, copies, and what is computed sample by sample (`0.5 * wav`).
    They are dropped by all else, and where audio of two origins meets. Raises UsageError for a wav
    that is not (time,) or (clips, time) of floats, and for a rate that is none.

    >>> import numpy as np, wavenet
    >>> clips = wavenet.Audio(np.zeros((3, 8000)), sample_rate=16000)
    >>> clips
    <wavenet.Audio: 3 clips of 0.50 s at 16000 Hz>
    >>> clips[0, 4000:]
    <wavenet.Audio: 0.25 s at 16000 Hz>
    >>> float(clips.max())
    0.0
    """

    sample_rate: int | None
    seed: int | None
    tags: tuple[Mapping[str, str], ...]

    def __new__(
        cls,
        wav: ArrayLike,
        sample_rate: Number,
        *,
        seed: int | None = None,
        tags: Sequence[Mapping[str, str]] = (),
    ) -> "Audio":
        array, rate = as_array(wav), as_rate(sample_rate)
        if array.ndim not in (1, 2) or array.dtype.kind != "f":
            given = f"of shape {array.shape} and type {array.dtype}"
            raise UsageError("wav", given, "must be (time,) or (clips, time) of floats in -1 ... 1")
        if rate is None:
            raise UsageError("sample_rate", repr(sample_rate), f"must be 1 to {MOST_HZ:,} Hz")
        if tags and len(tags) != len(np.atleast_2d(array)):
            raise UsageError("tags", None, "must be as many as there are clips")
        audio: Audio = array.astype(np.float32, copy=False).view(cls)
        audio.sample_rate, audio.seed, audio.tags = rate, seed, tuple(tags)
        return audio

    def save(self, path: str | Path, *, tag: bool = True) -> None:
        """Write a .wav, .flac, .ogg or .mp3 file; of several clips NAME-1.wav, NAME-2.wav, ...

        Folders are made, and a file of this name is replaced. Of audio that a model made, the
        metadata say so, and by which model and seed, unless `tag` is False. Raises AudioError and
        OutputError for a file that cannot be written, AudioError for what is no audio, such as NaN,
        or has no sample rate.

        >>> import numpy as np, wavenet
        >>> wavenet.Audio(np.zeros(800), sample_rate=16000).save("new/silence.flac")
        """
        from wavenet.audio import writing

        path, rate = given_path("path", path), self.sample_rate or 0
        if not self._is_audio or not self.sample_rate:
            what = "of no known sample rate" if self._is_audio else "that is no audio"
            advice = "save wavenet.Audio(wav, sample_rate) of floats (time,)"
            raise AudioError(path, f"is to be written from an array {what}", advice)
        if not np.isfinite(self).all():
            advice = "repair it first"
            raise AudioError(path, "is to be written from NaN or infinite samples", advice)
        writing.check_format(path, rate)
        make_folder_of(path)
        clips = self._clips()
        # Whoever sets `shape` makes other clips of them.
        is_tagged = tag and len(self.tags) == len(clips)
        for i, clip in enumerate(clips):
            place = path
            if len(clips) > 1:
                place = path.with_name(f"{path.stem}-{i + 1}{path.suffix}")
            with writing.writer(place, rate, self.tags[i] if is_tagged else {}) as file:
                file.write(clip)

    @property
    def _is_audio(self) -> bool:
        return self.dtype.kind == "f" and self.ndim in (1, 2) and self.size > 0

    def _clips(self) -> Wav:
        """(clips, time), as a plain array."""
        return np.atleast_2d(np.asarray(self, np.float32))

    def __repr__(self) -> str:
        if not self._is_audio or not self.sample_rate:
            return super().__repr__()
        clips = f"{len(self)} clips of " if self.ndim == 2 else ""
        seconds = self.shape[-1] / self.sample_rate
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"<wavenet.Audio: {clips}{seconds:.2f} s at {self.sample_rate} Hz{seed}>"

    def _repr_html_(self) -> str | None:
        """A player for each clip, as notebooks ask for it."""
        rate = self.sample_rate
        if not self._is_audio or not rate or not np.isfinite(self).all():
            return None
        clips = self._clips()
        # Samples have two bytes.
        most = min(MOST_SECONDS * rate, MOST_BYTES // 2 // min(len(clips), MOST_CLIPS))
        html = [_player(clip[:most], rate) for clip in clips[:MOST_CLIPS]]
        if len(clips) > MOST_CLIPS or clips.shape[1] > most:
            left_out = f"the first {most / rate:.3g} s of up to {MOST_CLIPS} clips"
            html.append(f"<small>{left_out}; <code>save</code> writes all of it</small>")
        return "<br>".join(html)

    def __array_finalize__(self, origin: Array | None, /) -> None:
        # NumPy does not say what was done: of a permutation, the tags would be those of others.
        self.sample_rate, self.seed, self.tags = getattr(origin, "sample_rate", None), None, ()

    def __array_wrap__(self, array: Array, context: Any = None, return_scalar: bool = False) -> Any:
        result: Any = super().__array_wrap__(array, context)
        if result.ndim == 0:
            return result[()]
        if result.dtype.kind != "f":
            return result.view(np.ndarray)
        # A reduction has no context.
        given = [x for x in context[1] if isinstance(x, Audio)] if context else []
        if any(x.sample_rate != given[0].sample_rate for x in given):
            result.sample_rate = None
        elif given and all(
            (x.shape, x.seed, x.tags) == (result.shape, given[0].seed, given[0].tags) for x in given
        ):
            result.seed, result.tags = given[0].seed, given[0].tags
        return result

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if isinstance(part, Audio):
            tags = self.tags if self.ndim == 1 else self._tags_at(key)
            part.seed = self.seed
            part.tags = tags if len(tags) == (1 if part.ndim == 1 else len(part)) else ()
        return part

    def _tags_at(self, key: Any) -> tuple[Mapping[str, str], ...]:
        """The tags of the clips that a key of (clips, time) selects by its first part."""
        first = key[0] if isinstance(key, tuple) and key else key
        is_mask_or_list = isinstance(first, list | np.ndarray) and np.ndim(first) == 1
        if not self.tags or not (is_mask_or_list or isinstance(first, int | np.integer | slice)):
            return ()
        return tuple(self.tags[i] for i in np.ravel(np.arange(len(self))[first]))

    def copy(self, order: Any = "C") -> "Audio":
        """As NumPy's, with seed and tags."""
        copied = super().copy(order)
        copied.seed, copied.tags = self.seed, self.tags
        return copied

    def __copy__(self) -> "Audio":
        return self.copy()

    def __deepcopy__(self, memo: Any) -> "Audio":
        return self.copy()

    def __reduce__(self) -> Any:
        reduced: Any = super().__reduce__()
        make, arguments, state = reduced
        return make, arguments, (state, vars(self))

    def __setstate__(self, state: Any) -> None:
        array, own = state
        super().__setstate__(array)
        vars(self).update(own)


def _player(wav: Wav, sample_rate: int) -> str:
    """An HTML element that plays 16-bit audio, or is a line of text where nothing plays."""
    import soundfile

    content = BytesIO()
    soundfile.write(content, wav, sample_rate, "PCM_16", format="WAV")
    data = base64.b64encode(content.getvalue()).decode()
    # Sites that show notebooks, GitHub for one, leave the text and take the player away.
    instead = f"{len(wav) / sample_rate:.2f} s of audio; open this notebook to play it"
    return f'<audio controls src="data:audio/wav;base64,{data}">{instead}</audio>'
