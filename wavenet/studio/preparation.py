"""What a stream begins with: what it continues or follows, as a page asked for it."""

from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wavenet.errors import EngineError, ScoreError, UsageError, WavenetError, printable
from wavenet.generation.conditions import Conditions
from wavenet.generation.live_notes import LiveNotes
from wavenet.generation.live_recording import LiveRecording
from wavenet.generation.prompt import Prompt, read_prompt
from wavenet.generation.sources import How, from_file, from_text, is_score
from wavenet.generation.streams import Stream
from wavenet.glossary import Wav
from wavenet.model.checkpoint import Model
from wavenet.scores import midi, notes, segments
from wavenet.studio.player import FOREVER, LiveInput, Player
from wavenet.studio.protocol import Start
from wavenet.studio.uploads import MOST_SECONDS, Uploads

# Of a prompt, so much is heard before it is continued.
LEAD_IN_SECONDS = 3.0


class Prepared(NamedTuple):
    """A stream that has not begun."""

    stream: Stream
    prompt: Prompt
    # What is heard of the prompt.
    lead_in: Wav
    # The sample at which it ends.
    end: int
    # Where it is played on a keyboard, or follows a microphone.
    live_input: LiveInput | None


def prepared(player: Player, uploads: Uploads, start: Start) -> Prepared:
    """The stream that a page asks for. Raises WavenetError and HTTPException."""
    model, generator = player.model, player.generator
    config, rate = model.config.model, model.sample_rate
    generator.distribution.check(start.sampling)
    values: dict[str, Any] = {}
    if config.labels:
        values["label"] = label_number(config.labels, start.label)
    prompt, lead_in = Prompt(np.zeros(0, np.int64), gain=1.0), np.zeros(0, np.float32)
    if start.prompt is not None:
        if config.follows_frames:
            raise EngineError("", "this model follows something, and continues no recording")
        upload = uploads.get(start.prompt)
        with upload.named() as path:
            prompt = read_prompt(path, model)
        lead_in = upload.wav(rate)[-round(LEAD_IN_SECONDS * rate) :]
    about: dict[str, Any] = {"sampling": start.sampling, "gain": prompt.gain}
    about["prompt_samples"] = len(prompt.x)
    end = FOREVER if start.seconds is None else max(1, round(start.seconds * rate))
    if start.live is not None:
        kind = LiveNotes if start.live == "keys" else LiveRecording
        live_input = kind(model, generator.projection, values.get("label"))
        stream = Stream(start.seed, 0, live_input, **about)
        return Prepared(stream, prompt, lead_in, end, live_input)
    if start.upload is not None or start.text is not None:
        conditions = _conditions(model, uploads, start)
        values |= conditions.values
        about["gain"], end = conditions.gain, min(end, conditions.samples)
    stream = generator.stream(start.seed, 0, values, **about)
    return Prepared(stream, prompt, lead_in, end, None)


def _conditions(model: Model, uploads: Uploads, start: Start) -> Conditions:
    how = How(transpose=start.transpose)
    if start.upload is None:
        text = start.text or ""
        _require_short("", _seconds_of(text, model))
        return from_text(text, model, how, "text")
    upload = uploads.get(start.upload)
    with upload.named() as path:
        if is_score(path):
            _require_short(path, _seconds_of(path, model))
        if "mel" in model.config.model.conditioning:
            return Conditions.from_audio(path, model, str(path))
        return from_file(path, model, how)


def _seconds_of(score: str | Path, model: Model) -> float:
    """How long notes or segments are: of text or in a file; 0 where that cannot be read.

    What is wrong with it is reported where it is followed.
    """
    is_of_segments = "segments" in model.config.model.conditioning
    parts: list[Any] = []
    with suppress(WavenetError):
        if isinstance(score, str):
            parts = [*(segments.parse(score) if is_of_segments else notes.parse(score))]
        elif score.suffix.lower() in midi.SUFFIXES:
            parts = [*midi.read(score)]
        else:
            tier = model.config.train.segments_tier or None
            parts = [*segments.read(score, tier)]
    return max((float(part.end) for part in parts), default=0.0)


def _require_short(subject: object, seconds: float) -> None:
    """Raise ScoreError for what would take much memory: a line of text can ask for a day."""
    if seconds > MOST_SECONDS:
        reason = f"notes or segments of more than {MOST_SECONDS / 60:g} minutes"
        raise ScoreError(subject, reason, "`wavenet play` plays up to a day of them")


def label_number(labels: tuple[str, ...], label: str | None) -> int:
    """The number of a label; the first one's for None. Raises UsageError."""
    if label is None:
        return 0
    if label not in labels:
        raise UsageError("label", printable(label)[:80], "is not one that this model knows")
    return labels.index(label)
