"""Audio as an array that plays in a notebook and can be saved: what the library returns."""

import base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from wavenet.glossary import Array, Wav

# What a notebook, which keeps all that it shows, is given of it.
MOST_CLIPS, MOST_SECONDS = 16, 60


class Audio(np.ndarray[Any, np.dtype[np.float32]]):
    """float32 audio (time,) or (clips, time) in -1 ... 1: a NumPy array that knows its sample rate.

    In a notebook it is a player, for each clip one (up to 16, of a minute each). It can be sliced,
    computed with and handed to other libraries as any array. What is no audio any more, such as a
    comparison, is a plain array, and a single number is a NumPy scalar. So is a concatenation a
    plain array: `Audio(wav, sample_rate)` plays it, or audio of any other origin.

        sample_rate   in Hz; None where it is unknown
        seed          that it was drawn with; None for audio of other origin
        tags          texts for the metadata of each clip's file; see `save`

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
        wav: Array,
        sample_rate: float,
        *,
        seed: int | None = None,
        tags: Sequence[Mapping[str, str]] = (),
    ) -> "Audio":
        audio = np.asarray(wav, np.float32).view(cls)
        audio.sample_rate, audio.seed, audio.tags = round(sample_rate), seed, tuple(tags)
        return audio

    def save(self, path: str | Path, *, tag: bool = True) -> None:
        """Write a .wav, .flac, .ogg or .mp3 file; of several clips NAME-1.wav, NAME-2.wav, ...

        Of audio that a model made, the metadata say so, and by which model and seed, unless `tag`
        is False. Raises AudioError for a file that cannot be written, or an unknown sample rate.

        >>> import numpy as np, wavenet
        >>> wavenet.Audio(np.zeros(800), sample_rate=16000).save("silence.flac")
        """
        from wavenet.audio import writing
        from wavenet.errors import AudioError

        path = Path(path)
        if not self._is_playable:
            advice = "save wavenet.Audio(wav, sample_rate) of floats (time,)"
            raise AudioError(path, "is to be written from an array that is no audio", advice)
        clips = self._clips()
        for i, clip in enumerate(clips):
            place = path
            if len(clips) > 1:
                place = path.with_name(f"{path.stem}-{i + 1}{path.suffix}")
            tags = self.tags[min(i, len(self.tags) - 1)] if tag and self.tags else {}
            with writing.writer(place, self.sample_rate or 0, tags) as file:
                file.write(clip)

    @property
    def _is_playable(self) -> bool:
        is_audio = self.dtype.kind == "f" and self.ndim in (1, 2) and self.size > 0
        return is_audio and self.sample_rate is not None

    def _clips(self) -> Wav:
        """(clips, time), as a plain array."""
        return np.atleast_2d(np.asarray(self, np.float32))

    def __repr__(self) -> str:
        if not self._is_playable:
            return super().__repr__()
        clips = f"{len(self)} clips of " if self.ndim == 2 else ""
        seconds = self.shape[-1] / (self.sample_rate or 1)
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"<wavenet.Audio: {clips}{seconds:.2f} s at {self.sample_rate} Hz{seed}>"

    def _repr_html_(self) -> str | None:
        """A player for each clip, as notebooks ask for it."""
        if not self._is_playable:
            return None
        rate, clips = self.sample_rate or 1, self._clips()
        most = MOST_SECONDS * rate
        html = [_player(clip[:most], rate) for clip in clips[:MOST_CLIPS]]
        if len(clips) > MOST_CLIPS or clips.shape[1] > most:
            left_out = f"the first {MOST_SECONDS} s of up to {MOST_CLIPS} clips"
            html.append(f"<small>{left_out}; <code>save</code> writes all of it</small>")
        return "<br>".join(html)

    def __array_finalize__(self, origin: Array | None, /) -> None:
        self.sample_rate = getattr(origin, "sample_rate", None)
        self.seed = getattr(origin, "seed", None)
        self.tags = getattr(origin, "tags", ())

    def __array_wrap__(self, array: Array, context: Any = None, return_scalar: bool = False) -> Any:
        result = super().__array_wrap__(array, context)
        if result.ndim == 0:
            return result[()]
        return result if result.dtype.kind == "f" else result.view(np.ndarray)

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if isinstance(part, Audio) and self.ndim == 2 and len(self.tags) == len(self):
            # The tags of the clips that are left; a mask of samples has none of its own.
            with suppress(IndexError):
                chosen = np.arange(len(self))[key[0] if isinstance(key, tuple) and key else key]
                part.tags = tuple(self.tags[i] for i in np.ravel(chosen))
        return part

    def __reduce__(self) -> Any:
        reduced: Any = super().__reduce__()
        make, arguments, state = reduced
        return make, arguments, (state, vars(self))

    def __setstate__(self, state: Any) -> None:
        array, own = state
        super().__setstate__(array)
        vars(self).update(own)


def _player(wav: Wav, sample_rate: int) -> str:
    """An HTML element that plays 16-bit audio."""
    import soundfile

    content = BytesIO()
    soundfile.write(content, wav, sample_rate, "PCM_16", format="WAV")
    data = base64.b64encode(content.getvalue()).decode()
    return f'<audio controls src="data:audio/wav;base64,{data}"></audio>'
