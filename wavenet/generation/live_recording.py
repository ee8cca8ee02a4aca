"""A recording that is followed while it comes, such as a hum into a microphone."""

from typing import NamedTuple

import numpy as np

from wavenet.arithmetic import ceil_div
from wavenet.audio import yin
from wavenet.audio.pitch import Range
from wavenet.engines.conditioning import Projection
from wavenet.errors import EngineError
from wavenet.generation.live_matching import LiveLoudness, LivePitch
from wavenet.generation.sources import require_playable
from wavenet.glossary import Array, Wav
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.registry import followed

# A stream that is so far behind, because this machine is too slow or was busy, leaves out what lies
# between; and never goes back by more than what is kept.
MOST_BEHIND_SECONDS, KEPT_SECONDS = 0.3, 5.0


class _Features(NamedTuple):
    """Those of the newest frames (F, C), of which the first one is the stream's frame `first`."""

    first: int
    frames: Array


class LiveRecording:
    """Pitch and loudness of a recording that comes, indexed by numbers of frames like features.

    They are brought into the model's range as those of a whole recording are, by what has come so
    far. Frame j is centred on sample j * hop and needs samples after that one, so the stream can be
    made `until` a sample some milliseconds before the newest.

    One thread may `add` to it while another reads.
    """

    def __init__(self, model: Model, projection: Projection, label: int | None = None) -> None:
        """Raises EngineError for a model that does not follow pitch, or something else besides."""
        require_playable(model)
        config, rate = model.config.model, model.sample_rate
        kinds = {*config.conditioning} - {"label", "loudness"}
        if kinds != {"pitch"}:
            reason = f"this model follows {followed(config)}, and no recording while it comes"
            raise EngineError("", reason)
        self._config, self._projection, self._rate = config, projection, rate
        self._hop, self._context = projection.hop, config.frame_context
        self._range = Range(rate, self._hop, config.pitch_low_hz, config.pitch_high_hz)
        self._pitch = LivePitch(model.training.pitch, rate / self._hop)
        self._loudness = LiveLoudness(model.training.loudness, rate / self._hop)
        self.label = label
        self.until = 0
        window = max(self._range.window, config.frame_window)
        self._before, self._after = window // 2, ceil_div(window, 2)
        # From sample `_begin` on. Silence lies before the first, the middle of the first frame.
        self._wav, self._begin = np.zeros(self._before, np.float32), -self._before
        # Columns are notes, voicing, loudness: of the last frames before number `_known`.
        self._values, self._known = np.zeros((0, 3), np.float32), 0
        self._skipped = 0
        silence = np.array([[self._range.middle, 0, self._loudness.silence]], np.float32)
        self._features = _Features(0, self._features_of(silence))
        # Whatever is imported or compiled for it is then there.
        self._measured(np.zeros(window, np.float32), 1)

    @property
    def note(self) -> int | None:
        """The MIDI note that is played; None where there is none."""
        return self._pitch.note

    @property
    def skipped(self) -> int:
        """Samples that the stream has left out so far."""
        return self._skipped * self._hop

    def __getitem__(self, frames: Array) -> Array:
        """The features of frames, by their numbers: (len(frames), C)."""
        first, kept = self._features
        features: Array = kept[(frames - first).clip(0, len(kept) - 1)]
        return features

    def __len__(self) -> int:
        return 2**62

    def change_label(self, label: int) -> None:
        """Have another label, by its number, for what comes next."""
        self.label = label

    def add(self, wav: Wav, time: int) -> None:
        """Follow the next samples (time,), in -1 ... 1 at the model's sample rate.

        `time` is the stream's: the samples that have been made.
        """
        self._wav = np.concatenate([self._wav, wav])
        # What lies between two windows may not have come yet when the first was computed.
        self._drop()
        known = (self._begin + len(self._wav) - self._after) // self._hop + 1
        if known <= self._known:
            return
        values = self._matched(self._measured(self._wav, known - self._known))
        values = np.concatenate([self._values, values])
        # Frames are condensed with neighbours at both sides, so the last ones wait for more.
        first, ready = known - len(values), known - self._context
        before = max(0, self._known - self._context)
        self._values, self._known = values[max(0, len(values) - 2 * self._context) :], known
        self._drop()
        if ready > before:
            fresh = self._features_of(values)[before - first : ready - first]
            self._publish(fresh, is_first=before == 0, ready=ready, time=time)

    def _drop(self) -> None:
        """Forget the samples before the next frame."""
        ahead = self._known * self._hop - self._before - self._begin
        drop = max(0, min(len(self._wav), ahead))
        self._wav, self._begin = self._wav[drop:], self._begin + drop

    def _publish(self, fresh: Array, is_first: bool, ready: int, time: int) -> None:
        """Let the stream be made until the frame before the recording's frame `ready`."""
        frames = fresh if is_first else np.concatenate([self._features.frames, fresh])
        frames = frames[-max(2, round(KEPT_SECONDS * self._rate / self._hop)) :]
        # Between two frames features are interpolated.
        until = (ready - 1 - self._skipped) * self._hop
        most = round(MOST_BEHIND_SECONDS * self._rate)
        if until - time > most + self._hop:
            self._skipped += (until - time - most) // self._hop
            until = (ready - 1 - self._skipped) * self._hop
        self._features = _Features(ready - self._skipped - len(frames), frames)
        self.until = until

    def _measured(self, wav: Wav, count: int) -> Array:
        """Note, voicing and loudness of `count` frames, the first of which begins with `wav`."""
        import torch

        from wavenet.audio import loudness

        def part(window: int) -> Wav:
            begin = self._before - window // 2
            return wav[begin : begin + (count - 1) * self._hop + window]

        notes = yin.frames_of(part(self._range.window), self._range)
        window = self._config.frame_window
        samples = torch.from_numpy(np.ascontiguousarray(part(window)))[None]
        with torch.inference_mode():
            levels = loudness.loudness(samples, self._rate, window, self._hop)[0].numpy()
        return np.concatenate([notes, levels], axis=1)

    def _matched(self, measured: Array) -> Array:
        """The same in the model's range."""
        matched = np.empty_like(measured)
        for i, (note, voiced, level) in enumerate(measured):
            loud, sounds = self._loudness(float(level), voiced > 0)
            has_pitch = bool(sounds and voiced > 0)
            matched[i] = self._pitch(float(note) if has_pitch else None), has_pitch, loud
        return matched

    def _features_of(self, values: Array) -> Array:
        given = {"pitch": values[:, :2], "loudness": values[:, 2:]}
        kinds = self._config.conditioning
        followed_values = {kind: value for kind, value in given.items() if kind in kinds}
        if self.label is not None:
            followed_values["label"] = np.array(self.label)
        return self._projection.features(**followed_values)
