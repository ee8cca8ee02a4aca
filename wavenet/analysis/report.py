"""What is known of a receptive field, as numbers for programs and as advice in plain words."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wavenet.analysis import path_counts
from wavenet.analysis.path_counts import EffectiveReceptiveField, PathCounts
from wavenet.config import Config
from wavenet.model.cost import ModelCost, model_cost

# In a shorter receptive field it says little where half of the paths lead.
MIN_SAMPLES_FOR_MIDDLE_HALF = 64


@dataclass(frozen=True)
class StackReport:
    """What `wavenet receptive-field` reports of one source.

    Everything but the measured effective receptive field, which is None where nothing was measured,
    follows from the config. `pitch` is in Hz.
    """

    name: str
    config: Config
    pitch: float
    effective_field: EffectiveReceptiveField | None = None

    @cached_property
    def cost(self) -> ModelCost:
        return model_cost(self.config.model, self.sample_rate)

    @cached_property
    def path_counts(self) -> PathCounts | None:
        """None where the receptive field is too long to count them."""
        return path_counts.count_paths(self.config.model.all_offsets)

    @property
    def sample_rate(self) -> int:
        return self.config.audio.sample_rate

    def ms(self, samples: float) -> str:
        """A number of samples in milliseconds, without the unit."""
        ms = 1000 * samples / self.sample_rate
        return f"{ms:,.2f}" if ms < 1 else f"{ms:,.1f}"

    def periods(self, samples: float) -> float:
        """A number of samples in periods of the pitch."""
        return samples * self.pitch / self.sample_rate

    def to_dict(self) -> dict[str, Any]:
        """As a program reads it: what JSON can hold."""
        counts, effective = self.path_counts, self.effective_field
        coverage: dict[str, Any] | None = None
        if counts is not None:
            log10_paths = counts.log2_paths * np.log10(2)
            coverage = {
                "samples_heard": int(counts.covered.sum()),
                "gaps": counts.gaps,
                "log10_paths": [round(p, 4) if p > -np.inf else None for p in log10_paths.tolist()],
            }
        influence: dict[str, Any] | None = None
        if effective is not None:
            influence = {"source": effective.source, "moments": effective.predictions}
            for name, extent in effective.extents.items():
                percent = 100 * path_counts.INFLUENCE_FRACTIONS[name]
                influence[f"samples_within_{percent:g}"] = extent
            influence["shares"] = [float(f"{share:.6g}") for share in effective.influence]
        return {
            "name": self.name,
            "sample_rate": self.sample_rate,
            **self.cost.to_dict(),
            "pitch_hz": self.pitch,
            "pitch_periods": self.periods(self.cost.receptive_field),
            "coverage": coverage,
            "influence": influence,
            "advice": self.advice(),
        }

    def advice(self) -> list[str]:
        """What the figures mean, a sentence each."""
        about_paths = [*self._gap_advice(), *self._cycle_advice()]
        return [self._depth_advice(), *about_paths, *self._influence_advice()]

    def _depth_advice(self) -> str:
        depth = f"reaches {self.ms(self.cost.receptive_field)} ms back"
        periods = self.periods(self.cost.receptive_field)
        if periods >= 1:
            return f"{depth}: a {self.pitch:g} Hz voice repeats {periods:.1f} times in it"
        period = f"one period of {self.pitch:g} Hz ({self.ms(self.sample_rate / self.pitch)} ms)"
        return f"{depth}: less than {period}, so it cannot hear that pitch repeat"

    def _gap_advice(self) -> list[str]:
        counts = self.path_counts
        if counts is None:
            return ["paths and gaps are not counted: the field is too long"]
        if counts.gaps:
            *others, last = map(str, path_counts.gap_closing_dilations(counts))
            layers = f"a two-tap layer of dilation {last}"
            if others:
                layers = f"two-tap layers of dilations {', '.join(others)} and {last}"
            return [path_counts.name_gaps(counts), f"{layers} would close all gaps"]
        if counts.size < MIN_SAMPLES_FOR_MIDDLE_HALF:
            return ["hears every sample of it"]
        near, far = counts.middle_half
        middle = f"half of all paths lead {self.ms(near)} to {self.ms(far)} ms back"
        return [f"hears every sample of it; {middle}"]

    def _without_last_cycle(self) -> tuple[int, PathCounts] | None:
        """The layer at which the last cycle of dilations begins, and the paths without that cycle.

        None for a stack of one cycle, and where paths are not counted.
        """
        model = self.config.model
        start = path_counts.last_cycle(model.schedule)
        if start is None or self.path_counts is None:
            return None
        offsets_above = model.all_offsets[len(model.schedule) :]
        counts = path_counts.count_paths(model.all_offsets[:start] + offsets_above)
        return (start, counts) if counts else None

    def _cycle_advice(self) -> list[str]:
        shorter = self._without_last_cycle()
        if shorter is None or self.path_counts is None:
            return []
        start, without = shorter
        covered = self.path_counts.covered[: without.size]
        newly_covered = int(covered.sum() - without.covered.sum())
        nearer = f"{newly_covered:,} samples that had been gaps" if newly_covered else "only paths"
        layers = f"layers {start + 1} to {len(self.config.model.schedule)}"
        span = f"{self.ms(without.size)} to {self.ms(self.cost.receptive_field)} ms back"
        return [f"the last cycle ({layers}) adds what lies {span}; nearer, {nearer}"]

    def _influence_advice(self) -> list[str]:
        effective = self.effective_field
        if effective is None:
            return []
        extents = effective.extents.values()
        half, most, nearly_all = map(self.ms, extents)
        sentences = [
            f"half of what it uses lies within {half} ms of {self.ms(self.cost.receptive_field)}, "
            f"90 % within {most}, 99 % within {nearly_all} "
            f"(at {effective.predictions} moments of {effective.source})"
        ]
        half, most, nearly_all = (f"{self.periods(extent):.1f}" for extent in extents)
        sentences.append(f"that is {half}, {most} and {nearly_all} periods of {self.pitch:g} Hz")
        if shorter := self._without_last_cycle():
            reach = shorter[1].size
            percent = 100 * float(effective.influence[reach:].sum())
            beyond = f"what only the last cycle reaches, beyond {self.ms(reach)} ms"
            sentences.append(f"{beyond}, holds {percent:.2g} % of it")
        return sentences
