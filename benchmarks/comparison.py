"""Every engine beside an eager PyTorch step on the same device, and beside the roofline.

Cases take turns as in `wavenet bench`, whose table this is with two more columns: speed over that
of the eager step with as many streams, taken within each round, and over the bound.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from benchmarks import roofline
from benchmarks.eager_step import EagerStep
from wavenet.bench import measure
from wavenet.bench.measure import BATCHES, GPU_BATCHES, Case, Row
from wavenet.config import Config
from wavenet.engines import ON_GPU, candidates
from wavenet.engines.gpu.network import device_for
from wavenet.engines.options import say_nothing
from wavenet.errors import EngineError
from wavenet.model.distributions.registry import distribution_for

EAGER, EAGER_ON_GPU = "eager PyTorch", "eager on GPU"
HEADER = (
    f"{'engine':14} {'precision':>9} {'threads':>8} {'streams':>8} "
    f"{'samples/s':>10} {'x real time':>12} {'x eager':>8} {'of bound':>9}"
)


@dataclass(frozen=True)
class Comparison:
    """A row, its speed over the eager step's, and the samples per second that the machine allows.

    None where there is no such step, or no bound.
    """

    row: Row
    times_eager: float | None
    bound: float | None

    def __str__(self) -> str:
        """A line of the table, below HEADER."""
        r = self.row
        eager = "" if self.times_eager is None else f"{self.times_eager:.1f}"
        bound = "" if self.bound is None else f"{r.samples_per_second / self.bound:.0%}"
        case = f"{r.engine:14} {r.precision:>9} {r.threads or 'GPU':>8} {r.batch:>8}"
        return f"{case} {r.samples_per_second:>10,.0f} {r.realtime:>12.2f} {eager:>8} {bound:>9}"


def cases(
    config: Config,
    report: Callable[[str], object] = say_nothing,
    names: Sequence[str] | None = None,
) -> list[Case]:
    """The eager steps, then `measure.cases`."""
    names = candidates() if names is None else names
    eager: list[Case] = []
    if config.model.condition_channels:
        report(f"{EAGER}: left out, its step takes no labels and no mel frames")
    elif not config.model.plain:
        report(f"{EAGER}: left out, its step knows dense layers and no context module")
    else:
        eager = _eager_steps(config, names)
    return eager + measure.cases(config, report, names)


def _eager_steps(config: Config, names: Sequence[str]) -> list[Case]:
    """The eager steps on the devices that these engines run on."""
    # More threads make such small products slower, and on a busy machine far slower.
    torch.set_num_threads(1)
    weights, n_noise = measure.random_weights(config), distribution_for(config.model).n_noise
    runners = []
    if set(names) - set(ON_GPU):
        for batch in BATCHES:
            step = EagerStep(config.model, weights, batch)
            runners.append(Case(Row(EAGER, "fp32", 1, batch), step.run, n_noise))
    if not set(names) & set(ON_GPU):
        return runners
    try:
        device = device_for(ON_GPU[0])
    except EngineError:
        # The engines report that themselves.
        return runners
    for batch in GPU_BATCHES:
        step = EagerStep(config.model, weights, batch, device)
        runners.append(Case(Row(EAGER_ON_GPU, "fp32", 0, batch), step.run, n_noise))
    return runners


def compare(config: Config, runners: Sequence[Case]) -> list[Comparison]:
    """The cases' speeds and ratios, medians over the rounds."""
    by_case = list(zip(*measure.speeds(runners), strict=True))
    baselines = {
        _same_baseline(runner.row): of_rounds
        for runner, of_rounds in zip(runners, by_case, strict=True)
        if runner.row.engine in (EAGER, EAGER_ON_GPU)
    }
    has_bounds = any(runner.row.engine == "numba" for runner in runners)
    machine = roofline.measure(config.model) if has_bounds else None
    compared = []
    for runner, of_rounds in zip(runners, by_case, strict=True):
        row, eager = runner.row, baselines.get(_same_baseline(runner.row))
        times_eager = bound = None
        if eager is not None:
            times_eager = statistics.median(a / b for a, b in zip(of_rounds, eager, strict=True))
        if machine is not None and row.engine == "numba":
            bound = machine.bound(config.model, row.precision, row.batch, row.threads)
        row = measure.with_speed(row, config, of_rounds)
        compared.append(Comparison(row, times_eager, bound))
    return compared


def _same_baseline(row: Row) -> tuple[int, bool]:
    """What a row has in common with its baseline: the number of streams, and the kind of device."""
    return row.batch, row.threads == 0
