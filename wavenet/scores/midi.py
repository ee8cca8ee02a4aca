"""Notes of a MIDI file."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from wavenet.errors import ScoreError, UsageError, reason_of
from wavenet.scores import files
from wavenet.scores.limits import LONGEST_SECONDS, check_count
from wavenet.scores.notes import Note, require_one_voice
from wavenet.scores.pitch_wheel import PitchWheel
from wavenet.system.text import listed

if TYPE_CHECKING:
    import mido

SUFFIXES = (".mid", ".midi")
# Channels as people count them, 1 to 16. General MIDI keeps this one for drums.
DRUMS, LAST = 10, 16


def read(path: Path, channel: int | None = None) -> list[Note]:
    """The notes of a MIDI file, one after the other, by start.

    `channel` is 1 to 16; None takes all of them, but for drums (10). Changes of tempo and pitch
    bends are followed, the sustain pedal is not. A note that is struck again ends there.

    Raises ScoreError for a file that is none, is damaged, has no notes or several at once, and
    UsageError for a channel without notes.
    """
    if channel is not None and channel not in range(1, LAST + 1):
        raise UsageError("channel", channel, f"must be a whole number from 1 to {LAST}")
    by_channel, wheels = _by_channel(path, _opened(path))
    if not by_channel:
        raise ScoreError(path, "holds no notes")
    if channel is not None:
        if channel not in by_channel:
            advice = f"{path} has notes in {_words(by_channel)}"
            raise UsageError("channel", channel, "has no notes", advice)
        chosen = {channel: by_channel[channel]}
        return _bent(_one_voice(path, by_channel[channel]), chosen, wheels)
    pitched = {number: notes for number, notes in by_channel.items() if number != DRUMS}
    if not pitched:
        advice = f"`channel` {DRUMS} takes them as notes"
        raise ScoreError(path, f"holds drums alone (channel {DRUMS})", advice)
    merged = [note for notes in pitched.values() for note in notes]
    if len(pitched) == 1:
        return _bent(_one_voice(path, merged), pitched, wheels)
    try:
        return _bent(require_one_voice(merged), pitched, wheels)
    except ScoreError as e:
        reason = f"{e.reason}; it has notes in {_words(pitched)}"
        raise ScoreError(path, reason, "choose one with `channel`") from None


def _one_voice(path: Path, notes: Sequence[Note]) -> list[Note]:
    try:
        return require_one_voice(notes)
    except ScoreError as e:
        raise e.within(path) from None


def _bent(
    voice: Sequence[Note], channels: dict[int, list[Note]], wheels: Mapping[int, PitchWheel]
) -> list[Note]:
    """The notes of one voice, each bent by the wheel of its channel."""
    # No two notes of one voice begin at once.
    channel_at = {note.start: channel for channel, notes in channels.items() for note in notes}
    return [
        replace(note, bends=wheels[channel_at[note.start]].between(note.start, note.end))
        for note in voice
    ]


def _words(channels: dict[int, list[Note]]) -> str:
    plural = "s" if len(channels) > 1 else ""
    return f"channel{plural} {listed(map(str, sorted(channels)))}"


def _opened(path: Path) -> "mido.MidiFile":
    raw = files.content(path)
    if not raw.startswith(b"MThd"):
        raise ScoreError(path, "is no MIDI file", "export it as a standard MIDI file")
    import mido

    # What a damaged file makes mido raise is of many classes.
    try:
        midi = mido.MidiFile(file=BytesIO(raw))
    except EOFError:
        raise ScoreError(path, "is damaged: it ends too early", "export it again") from None
    except Exception as e:
        raise ScoreError(path, f"is damaged ({reason_of(e)})", "export it again") from None
    if midi.ticks_per_beat <= 0:
        advice = "export it with ticks for each quarter note"
        raise ScoreError(path, "its times are frames of film (SMPTE)", advice)
    if midi.type not in (0, 1):
        advice = "export it in format 0 or 1"
        raise ScoreError(path, f"is of MIDI format {midi.type}, which has no one timeline", advice)
    return midi


def _by_channel(
    path: Path, midi: "mido.MidiFile"
) -> tuple[dict[int, list[Note]], Mapping[int, PitchWheel]]:
    """The notes of each channel that has any, not bent, and the channels' wheels.

    Raises ScoreError.
    """
    by_channel: dict[int, list[Note]] = {}
    sounding: dict[tuple[int, int], tuple[float, int]] = {}
    wheels: dict[int, PitchWheel] = defaultdict(PitchWheel)
    now, count = 0.0, 0

    def end(channel: int, pitch: int) -> None:
        start, velocity = sounding.pop((channel, pitch), (now, 0))
        if now > start:
            by_channel.setdefault(channel, []).append(Note(start, now, pitch, velocity))

    for message in midi:
        now += message.time
        if now > LONGEST_SECONDS:
            raise ScoreError(path, "lasts more than a day", "cut it into several")
        if message.type not in ("note_on", "note_off"):
            if message.type in ("pitchwheel", "control_change"):
                wheels[message.channel + 1].turn(now, message)
            continue
        channel, is_on = message.channel + 1, message.type == "note_on" and message.velocity
        begun = sounding.get((channel, message.note))
        if not is_on and begun and begun[0] == now:
            # It ends the note that was struck again at this moment.
            continue
        end(channel, message.note)
        if is_on:
            count += 1
            check_count(path, count, "notes")
            sounding[channel, message.note] = now, message.velocity
    for channel, pitch in list(sounding):
        end(channel, pitch)
    return by_channel, wheels
