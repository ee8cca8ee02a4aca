"""What is known of a receptive field, as numbers for programs and as advice in plain words."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from wavenet.analysis.path_counts import (
    EffectiveReceptiveField,
    PathCounts,
    count_paths,
    gap_closing_dilations,
    last_cycle,
    name_gaps,
)
from wavenet.config import Config
from wavenet.model.cost import ModelCost, model_cost

# The fractions of the influence whose extents are reported, by what they are called.
INFLUENCE_FRACTIONS = {"half": 0.5, "90 %": 0.9, "99 %": 0.99}
# In a shorter receptive field it says little where half of the paths lead.
MIN_SAMPLES_FOR_MIDDLE_HALF = 64


@dataclass(frozen=True)
class StackReport:
    """What `wavenet receptive-field` reports of one source.

    `path_counts` is None where the receptive field is too long to count them, `effective_field`
    where nothing was measured.
    """

    name: str
    config: Config
    cost: ModelCost
    path_counts: PathCounts | None
    pitch: float  # Hz
    effective_field: EffectiveReceptiveField | None = None

    @property
    def receptive_field(self) -> int:
        """In samples."""
        return self.config.model.receptive_field

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
        """As `--json` prints it."""
        head = {"name": self.name, "sample_rate": self.sample_rate}
        return {
            **head,
            **self.cost.to_dict(),
            "pitch_hz": self.pitch,
            "pitch_periods": self.periods(self.receptive_field),
            "coverage": self._coverage_dict(),
            "influence": self._influence_dict(),
            "advice": self.advice(),
        }

    def _coverage_dict(self) -> dict[str, Any] | None:
        counts = self.path_counts
        if counts is None:
            return None
        log10_paths = counts.log2_paths * np.log10(2)
        return {
            "samples_heard": int(counts.covered.sum()),
            "gaps": [list(gap) for gap in counts.gaps],
            "log10_paths": [round(float(p), 4) if np.isfinite(p) else None for p in log10_paths],
        }

    def _influence_dict(self) -> dict[str, Any] | None:
        effective = self.effective_field
        if effective is None:
            return None
        extents = {
            f"samples_within_{100 * fraction:g}": effective.within(fraction)
            for fraction in INFLUENCE_FRACTIONS.values()
        }
        return {
            "source": effective.source,
            "moments": effective.predictions,
            **extents,
            "shares": [float(f"{i:.6g}") for i in effective.influence],
        }

    def advice(self) -> list[str]:
        """What the figures mean, a sentence each."""
        return [
            self._depth_advice(),
            *self._gap_advice(),
            *self._cycle_advice(),
            *self._influence_advice(),
        ]

    def _depth_advice(self) -> str:
        depth = f"reaches {self.ms(self.receptive_field)} ms back"
        periods = self.periods(self.receptive_field)
        if periods >= 1:
            return f"{depth}: a {self.pitch:g} Hz voice repeats {periods:.1f} times in it"
        period = f"one period of {self.pitch:g} Hz ({self.ms(self.sample_rate / self.pitch)} ms)"
        return f"{depth}: less than {period}, so it cannot hear that pitch repeat"

    def _gap_advice(self) -> list[str]:
        counts = self.path_counts
        if counts is None:
            return ["paths and gaps are not counted: the field is too long"]
        if counts.gaps:
            *others, last = map(str, gap_closing_dilations(counts))
            layers = f"a two-tap layer of dilation {last}"
            if others:
                layers = f"two-tap layers of dilations {', '.join(others)} and {last}"
            return [name_gaps(counts), f"{layers} would close all gaps"]
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
        start = last_cycle(model.schedule)
        if start is None or self.path_counts is None:
            return None
        offsets_above = model.all_offsets[len(model.schedule) :]
        counts = count_paths(model.all_offsets[:start] + offsets_above)
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
        span = f"{self.ms(without.size)} to {self.ms(self.receptive_field)} ms back"
        return [f"the last cycle ({layers}) adds what lies {span}; nearer, {nearer}"]

    def _influence_advice(self) -> list[str]:
        effective = self.effective_field
        if effective is None:
            return []
        half, most, nearly_all = map(effective.within, INFLUENCE_FRACTIONS.values())
        extents = (
            f"{self.ms(half)} ms of {self.ms(self.receptive_field)}, "
            f"90 % within {self.ms(most)}, 99 % within {self.ms(nearly_all)}"
        )
        where = f"at {effective.predictions} moments of {effective.source}"
        periods = (
            f"{self.periods(half):.1f}, {self.periods(most):.1f} and "
            f"{self.periods(nearly_all):.1f} periods of {self.pitch:g} Hz"
        )
        sentences = [
            f"half of what it uses lies within {extents} ({where})",
            f"that is {periods}",
        ]
        if shorter := self._without_last_cycle():
            _, without = shorter
            percent = 100 * float(effective.influence[without.size :].sum())
            beyond = f"beyond {self.ms(without.size)} ms"
            sentences.append(
                f"what only the last cycle reaches, {beyond}, holds {percent:.2g} % of it"
            )
        return sentences


def stack_report(
    name: str,
    config: Config,
    pitch: float,
    effective_field: EffectiveReceptiveField | None = None,
) -> StackReport:
    """Everything but the measured effective receptive field follows from the config."""
    cost = model_cost(config.model, config.audio.sample_rate)
    path_counts = count_paths(config.model.all_offsets)
    return StackReport(name, config, cost, path_counts, pitch, effective_field)
