"""All that is known of what one network hears, as numbers for programs and as advice in plain words."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from wavenet.analysis.path_counts import (
    EffectiveReceptiveField,
    PathCounts,
    closing,
    count_paths,
    last_cycle,
    name_gaps,
)
from wavenet.config import Config
from wavenet.model.cost import ModelCost, model_cost

PARTS = {"half": 0.5, "90 %": 0.9, "99 %": 0.99}  # of the influence, whose extent is told
CROWDED = 64  # samples that a field must have before it is told where paths crowd


@dataclass(frozen=True)
class StackReport:
    """What `wavenet receptive-field` found out about one source. `coverage` is None where the field is too long to count paths."""

    name: str
    config: Config
    report: ModelCost
    coverage: PathCounts | None
    pitch: float  # Hz, whose periods are counted
    influence: EffectiveReceptiveField | None = None

    @property
    def field(self) -> int:
        return self.config.model.receptive_field

    @property
    def sample_rate(self) -> int:
        return self.config.audio.sample_rate

    def ms(self, samples: float) -> str:
        """So many samples in milliseconds, without the unit."""
        ms = 1000 * samples / self.sample_rate
        return f"{ms:,.2f}" if ms < 1 else f"{ms:,.1f}"

    def periods(self, samples: float) -> float:
        """So many samples in periods of the pitch."""
        return samples * self.pitch / self.sample_rate

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        found: dict[str, Any] = {
            "name": self.name,
            "sample_rate": self.sample_rate,
        } | self.report.to_dict()
        found |= {
            "pitch_hz": self.pitch,
            "pitch_periods": self.periods(self.field),
            "coverage": None,
            "influence": None,
        }
        if (c := self.coverage) is not None:
            log10 = [
                round(float(p), 4) if np.isfinite(p) else None for p in c.log2_paths * np.log10(2)
            ]
            found["coverage"] = {
                "samples_heard": int(c.covered.sum()),
                "gaps": [list(g) for g in c.gaps],
                "log10_paths": log10,
            }
        if (i := self.influence) is not None:
            extents = {f"samples_within_{100 * part:g}": i.within(part) for part in PARTS.values()}
            found["influence"] = {
                "source": i.source,
                "moments": i.moments,
                **extents,
                "shares": [float(f"{s:.6g}") for s in i.shares],
            }
        return found | {"advice": self.advice()}

    def advice(self) -> list[str]:
        """What the figures mean, a sentence each."""
        return [self._depth(), *self._covered(), *self._cycle(), *self._used()]

    def _depth(self) -> str:
        periods = self.periods(self.field)
        if periods < 1:
            period = f"less than one period of {self.pitch:g} Hz ({self.ms(self.sample_rate / self.pitch)} ms)"
            return f"reaches {self.ms(self.field)} ms back: {period}, so it cannot hear that pitch repeat"
        return f"reaches {self.ms(self.field)} ms back: a {self.pitch:g} Hz voice repeats {periods:.1f} times in it"

    def _covered(self) -> list[str]:
        c = self.coverage
        if c is None:
            return ["paths and gaps are not counted: the field is too long"]
        if c.gaps:
            dilations = closing(c)
            listed = " and ".join(", ".join(map(str, dilations)).rsplit(", ", 1))
            layers = (
                f"two-tap layers of dilations {listed}"
                if len(dilations) > 1
                else f"a two-tap layer of dilation {listed}"
            )
            return [name_gaps(c), f"{layers} would close all gaps"]
        low, high = c.middle_half
        crowded = (
            f"; half of all paths lead {self.ms(low)} to {self.ms(high)} ms back"
            if c.size >= CROWDED
            else ""
        )
        return [f"hears every sample of it{crowded}"]

    def _shorter(self) -> tuple[int, PathCounts] | None:
        """Where the last cycle of dilations begins, and what is heard without it; None without cycles."""
        model = self.config.model
        start = last_cycle(model.schedule)
        if start is None or self.coverage is None:
            return None
        without = count_paths(model.all_offsets[:start] + model.all_offsets[len(model.schedule) :])
        return (start, without) if without else None

    def _cycle(self) -> list[str]:
        shorter = self._shorter()
        if shorter is None or self.coverage is None:
            return []
        start, without = shorter
        nearer = int(self.coverage.covered[: without.size].sum() - without.covered.sum())
        again = f"{nearer:,} samples that had been gaps" if nearer else "only paths"
        span = f"{self.ms(without.size)} to {self.ms(self.field)} ms back"
        return [
            f"the last cycle (layers {start + 1} to {len(self.config.model.schedule)}) adds what lies {span}; nearer, {again}"
        ]

    def _used(self) -> list[str]:
        i = self.influence
        if i is None:
            return []
        half, most, nearly_all = (i.within(part) for part in PARTS.values())
        extents = f"{self.ms(half)} ms of {self.ms(self.field)}, 90 % within {self.ms(most)}, 99 % within {self.ms(nearly_all)}"
        periods = f"{self.periods(half):.1f}, {self.periods(most):.1f} and {self.periods(nearly_all):.1f} periods of {self.pitch:g} Hz"
        lines = [
            f"half of what it uses lies within {extents} (at {i.moments} moments of {i.source})",
            f"that is {periods}",
        ]
        if shorter := self._shorter():
            beyond = 100 * float(i.shares[shorter[1].size :].sum())
            lines.append(
                f"what only the last cycle reaches, beyond {self.ms(shorter[1].size)} ms, holds {beyond:.2g} % of it"
            )
        return lines


def stack_report(
    name: str, config: Config, pitch: float, influence: EffectiveReceptiveField | None = None
) -> StackReport:
    """Everything but the influence follows from the config."""
    found = model_cost(config.model, config.audio.sample_rate)
    return StackReport(name, config, found, count_paths(config.model.all_offsets), pitch, influence)
