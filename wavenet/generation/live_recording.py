"""A recording that is followed while it comes, such as a hum into a microphone."""

import numpy as np

from wavenet.arithmetic import ceil_div
from wavenet.audio import yin
from wavenet.audio.pitch import Range
from wavenet.engines.conditioning import Projection
from wavenet.errors import EngineError
from wavenet.generation.matching import RunningLoudness, RunningPitch
from wavenet.generation.sources import require_playable
from wavenet.glossary import Array, Wav
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.registry import followed

# Of features: a stream goes back by less.
KEPT_SECONDS = 10.0
# A pitch is another note once it is so far from the one before, in semitones.
OTHER_NOTE = 0.6


class LiveRecording:
    """Pitch and loudness of a recording that comes, indexed by numbers of frames like features.

    They are brought into the model's range as those of a whole recording are, by what has come so
    far. Frame j is centred on sample j * hop and needs samples after that one, so the stream can be
    made `until` a sample some milliseconds before the newest.
    """

    def __init__(self, model: Model, projection: Projection, label: int | None = None) -> None:
        """Raises EngineError for a model that follows something else."""
        require_playable(model)
        config, rate = model.config.model, model.sample_rate
        if not {*config.conditioning} <= {"pitch", "loudness", "label"}:
            reason = f"this model follows {followed(config)}, and no recording while it comes"
            raise EngineError("", reason)
        self._config, self._projection, self._rate = config, projection, rate
        self._hop, self._context = projection.hop, config.frame_context
        self._range = Range(rate, self._hop, config.pitch_low_hz, config.pitch_high_hz)
        self._pitch = RunningPitch(model.training.pitch)
        self._loudness = RunningLoudness(model.training.loudness, round(rate / self._hop))
        self.label = label
        self.until = 0
        self.note: int | None = None
        """The MIDI note that the newest frame is played as; None where it has no pitch."""
        window = max(self._range.window, config.frame_window)
        self._before, self._after = window // 2, ceil_div(window, 2)
        # From sample `_begin` on. Silence lies before the first, the middle of the first frame.
        self._wav, self._begin = np.zeros(self._before, np.float32), -self._before
        # Columns are notes, voicing, loudness: of the last frames before number `_known`.
        self._values, self._known = np.zeros((0, 3), np.float32), 0
        # From frame `_first` on; of silence before there is one.
        silence = np.array([[self._range.middle, 0, self._loudness.silence]], np.float32)
        self._first, self._features = 0, self._features_of(silence)
        # Whatever is imported or compiled for it is then there.
        self._measured(np.zeros(window, np.float32), 1)

    def __getitem__(self, frames: Array) -> Array:
        """The features of frames, by their numbers: (len(frames), C)."""
        features: Array = self._features[(frames - self._first).clip(0, len(self._features) - 1)]
        return features

    def __len__(self) -> int:
        return 2**62

    def change_label(self, label: int) -> None:
        """Have another label, by its number, for what comes next."""
        self.label = label

    def add(self, wav: Wav) -> None:
        """Follow the next samples (time,), in -1 ... 1 at the model's sample rate."""
        self._wav = np.concatenate([self._wav, wav])
        known = (self._begin + len(self._wav) - self._after) // self._hop + 1
        if known <= self._known:
            return
        values = self._matched(self._measured(self._wav, known - self._known))
        values = np.concatenate([self._values, values])
        # Frames are condensed with neighbours at both sides, so the last ones wait for more.
        first, ready = known - len(values), known - self._context
        before = max(0, self._known - self._context)
        if ready > before:
            fresh = self._features_of(values)[before - first : ready - first]
            features = np.concatenate([self._features, fresh]) if before else fresh
            kept = features[-round(KEPT_SECONDS * self._rate / self._hop) :]
            self._first, self._features = ready - len(kept), kept
            # Between two frames features are interpolated.
            self.until = (ready - 1) * self._hop
        self._values, self._known = values[max(0, len(values) - 2 * self._context) :], known
        drop = min(len(self._wav), known * self._hop - self._before - self._begin)
        self._wav, self._begin = self._wav[drop:], self._begin + drop

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
        last = float(matched[-1, 0])
        if not has_pitch:
            self.note = None
        elif self.note is None or abs(last - self.note) > OTHER_NOTE:
            self.note = round(last)
        return matched

    def _features_of(self, values: Array) -> Array:
        given = {"pitch": values[:, :2], "loudness": values[:, 2:]}
        kinds = self._config.conditioning
        followed_values = {kind: value for kind, value in given.items() if kind in kinds}
        if self.label is not None:
            followed_values["label"] = np.array(self.label)
        return self._projection.features(**followed_values)
