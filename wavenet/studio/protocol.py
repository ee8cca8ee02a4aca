"""The messages of a stream over a WebSocket: those that a page sends, and those that it receives.

It sends JSON objects with a `type`:

    start     begin a stream of a `model`: `seed`, settings, and what it continues or follows
    credit    make audio until sample `until`, ten milliseconds at least, and then wait; the page
              plays sample `position`
    change    other settings from `position` on
    keys      `pressed`, pairs of a note and a velocity, and `released`, notes; and how many
              semitones to `bend` by what sounds from here on
    branch    go on from `position` with another `seed`; that moment is kept, and has a number
    resume    go back to the moment of branch `number` and go on with a `seed`

and, in binary messages, the samples of a microphone where the stream follows one: 16 bits each, at
the rate of the stream, from its first sample on.

It receives `started`, `from` (what follows begins at that `sample`, in place of what was sent
before), `end`, `refused`, `error`, `notice` of what could not be changed, and of a microphone the
`note` that it is played as, or null, and how many samples were `skipped` where it fell behind.
Between these, binary messages hold samples, float32. The least byte is first in all of them.
Samples are counted from the first that is sent, which may be a prompt's.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wavenet.audio.quantization import from_pcm16
from wavenet.errors import UsageError
from wavenet.generation.api import given_or_new
from wavenet.glossary import Wav
from wavenet.model.distributions.base import Sampling
from wavenet.scores.notes import MOST_BEND

# Of one message, and of keys that are pressed or released in one.
MOST_CHARACTERS, MOST_KEYS = 20_000, 32
# What a stream may follow that is not there yet.
LIVE = ("keys", "microphone")
DAY_SECONDS = 86_400.0


class MalformedError(Exception):
    """A page sent something that no page of the studio sends."""


@dataclass(frozen=True)
class Start:
    """What a stream is to be."""

    model: str
    seed: int
    sampling: Sampling
    label: str | None
    # The recording that is continued.
    prompt: str | None
    # What is followed: a recording or a file that was sent, a text of notes or segments, or one of
    # LIVE.
    upload: str | None
    text: str | None
    live: str | None
    transpose: float
    seconds: float | None

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Start":
        """Raises MalformedError and UsageError."""
        seconds = optional(given, "seconds", float)
        if seconds is not None and not 0 < seconds <= DAY_SECONDS:
            raise UsageError("seconds", f"{seconds:g}", "must be above 0 and at most a day")
        return cls(
            model=required(given, "model", str),
            seed=seed_of(given),
            sampling=sampling_of(given, Sampling()),
            label=optional(given, "label", str),
            prompt=optional(given, "prompt", str),
            upload=optional(given, "upload", str),
            text=optional(given, "text", str),
            live=_live_of(given),
            transpose=optional(given, "transpose", float) or 0.0,
            seconds=seconds,
        )


def message_of(text: object) -> dict[str, Any]:
    """The object that a page sent. Raises MalformedError."""
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
        raise MalformedError("a message that is no text, or too long")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedError("a message that is not JSON") from None
    if not isinstance(given, dict):
        raise MalformedError("a message that is no object")
    return given


def seed_of(given: dict[str, Any]) -> int:
    """The seed that a page gives, or a new one. Raises MalformedError and UsageError."""
    seed = given_or_new(optional(given, "seed", int))
    if not 0 <= seed < 2**64:
        raise UsageError("seed", None, "must be 0 to 2^64 - 1")
    return seed


def sampling_of(given: dict[str, Any], before: Sampling) -> Sampling:
    """The sampling that a page asks for; where it says nothing, that of before.

    Raises MalformedError and UsageError.
    """
    temperature, top_p = optional(given, "temperature", float), optional(given, "top_p", float)
    top_k = optional(given, "top_k", int)
    return Sampling(
        before.temperature if temperature is None else temperature,
        before.top_k if top_k is None else top_k,
        before.top_p if top_p is None else top_p,
    )


def keys_of(given: dict[str, Any]) -> tuple[list[tuple[float, int]], list[float]]:
    """The notes that are pressed, each with its velocity, and those that are released.

    Raises MalformedError.
    """
    pressed, released = (optional(given, name, list) or [] for name in ("pressed", "released"))
    if len(pressed) + len(released) > MOST_KEYS:
        raise MalformedError("too many keys at once")
    pairs = []
    for pair in pressed:
        if not isinstance(pair, list) or len(pair) != 2:
            raise MalformedError("a key that is no pair of a note and a velocity")
        note, velocity = pair
        pairs.append((_key("note", note), _of_kind("velocity", velocity, int)))
    return pairs, [_key("note", note) for note in released]


def bend_of(given: dict[str, Any]) -> float | None:
    """How many semitones what sounds is bent by from here on, if that changes.

    Raises MalformedError.
    """
    bend: float | None = optional(given, "bend", float)
    if bend is not None and not abs(bend) <= MOST_BEND:
        raise MalformedError("more bent than notes can be")
    return bend


def wav_of(data: bytes) -> Wav:
    """The samples of a microphone in a message. Raises MalformedError."""
    if len(data) % 2:
        raise MalformedError("samples that are not of 16 bits")
    return from_pcm16(np.frombuffer(data, "<i2"))


def _live_of(given: dict[str, Any]) -> str | None:
    live: str | None = optional(given, "live", str)
    if live is not None and live not in LIVE:
        raise MalformedError("something live that there is not")
    return live


def _key(name: str, value: Any) -> float:
    note: float = _of_kind(name, value, float)
    # Of notes in between there are so many that a page could hold ever more of them.
    if not note.is_integer():
        raise MalformedError(f"`{name}` is of no keyboard")
    return note


def sample_of(given: dict[str, Any], name: str) -> int:
    """The number of a sample. Raises MalformedError."""
    sample: int = required(given, name, int)
    if not 0 <= sample < 2**53:
        raise MalformedError(f"`{name}` is no number of a sample")
    return sample


def optional(given: dict[str, Any], name: str, kind: type) -> Any:
    """A value of a message, None where it is missing.

    Raises MalformedError for one of another kind.
    """
    value = given.get(name)
    return None if value is None else _of_kind(name, value, kind)


def required(given: dict[str, Any], name: str, kind: type) -> Any:
    """A value of a message. Raises MalformedError where it is missing or of another kind."""
    if given.get(name) is None:
        raise MalformedError(f"`{name}` is missing")
    return _of_kind(name, given[name], kind)


def _of_kind(name: str, value: Any, kind: type) -> Any:
    # JSON does not tell 1 from 1.0, and Python takes True for 1.
    if kind is float and type(value) is int and abs(value) < 2**53:
        value = float(value)
    if type(value) is not kind:
        raise MalformedError(f"`{name}` is no {kind.__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise MalformedError(f"`{name}` is not finite")
    return value
