"""How fast training is on a GPU, beside other networks and beside what the card can do.

For each preset and number of windows: our stack, the same network in ordinary convolutions, and
another program's module, each in a process of its own. They take turns, round after round, so that
ratios are taken within each round. The share of the matrix rate is what a step's products would
take at the speed of one large product in that precision, over what the step takes; the share of the
copy rate is the same of the bytes that its kernels read and write.

`captured` is an experiment that the program does not have: forward and backward pass replayed as a
CUDA graph.
"""

import statistics
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.gpu_stages.report import Column, Report, Table
from benchmarks.rates import copy_rate, matrix_rate
from benchmarks.training import work
from benchmarks.training_case import (
    CAPTURED,
    CONV1D,
    OURS,
    PEER,
    Case,
    Contestant,
    ContestantError,
)

# Windows of a step, and their seconds; all a multiple of what a GPU's graph of paper takes.
SETUPS: dict[str, tuple[float, Sequence[int]]] = {
    "paper": (0.5, (4, 16, 64)),
    "r9y9-mulaw256": (0.3628, (2, 8, 32)),
}
# What a CPU tries instead, to see that every line runs.
TRIAL = {"model.layers": 10, "train.segment_seconds": 0.01}
TRIAL_WINDOWS = (1, 2)
MOST_ROUNDS = 15
PROFILED = "ours, bf16"
# A turn of a contestant is of this many seconds, or of one step.
TURN_SECONDS = 0.1
COLUMNS = (
    Column("case", "", 22),
    Column("windows", "windows", 7, "d"),
    Column("ms", "ms a step", 9, ".2f"),
    Column("samples_per_second", "samples/s", 11, ",.0f"),
    Column("times_conv1d", "x Conv1d", 8, ".2f"),
    Column("times_peer", "x r9y9's", 8, ".2f"),
    Column("peak_mb", "peak MB", 8, ",.0f"),
    Column("kernels", "kernels", 7, ",d"),
    Column("matrix_share", "matrix rate", 11, ".1%"),
    Column("copy_share", "copy rate", 9, ".1%"),
)
SLOWEST = (
    Column("ms", "ms a step", 9, ".3f"),
    Column("count", "count", 6, ".0f"),
    Column("kernel", "the slowest kernels", 82),
)


def run(report: Report, device: torch.device, peer: str = "") -> None:
    """All presets, in equal shares of the time."""
    rates = _rates(report, device)
    presets = list(SETUPS)
    for done, preset in enumerate(presets):
        deadline = report.left * (len(presets) - done - 1) / (len(presets) - done)
        _preset(report, preset, device, peer, rates, until=deadline)


def _rates(report: Report, device: torch.device) -> dict[str, float]:
    """Operations a second of products by kind of number, and bytes a second of copies."""
    table = report.table(
        "rates", (Column("what", "at best", 10), Column("rate", "a second", 16)), "the device"
    )
    kinds = {"fp32": (torch.float32, False), "bf16": (torch.bfloat16, False)}
    if device.type == "cuda":
        kinds["tf32"] = torch.float32, True
    rates = {}
    for kind, (dtype, tf32) in kinds.items():
        rates[kind] = matrix_rate(dtype, device, tf32=tf32)
        rate = f"{rates[kind] / 1e12:.2f} TFLOP/s"
        table.row(what=kind, rate=rate, per_second=rates[kind])
    rates["copies"] = copy_rate(device)
    rate = f"{rates['copies'] / 1e12:.3f} TB/s"
    table.row(what="copies", rate=rate, per_second=rates["copies"])
    return rates


def cases(preset: str, device: torch.device, peer: str) -> list[Case]:
    """The contestants: other networks first, which ours are compared with."""
    base: dict[str, Any] = {"train.segment_seconds": SETUPS[preset][0]}
    on_gpu = device.type == "cuda"
    if not on_gpu:
        base = TRIAL

    def case(label: str, network: str, *, tf32: bool = False, **settings: Any) -> Case:
        overrides = base | {f"train.{key}": value for key, value in settings.items()}
        return Case(label, preset, network, overrides, tf32, device.type, peer)

    found = []
    if peer:
        found += [case(f"{PEER}, {p}", PEER, precision=p) for p in ("fp32", "bf16")]
    found += [case(f"{CONV1D}, {p}", CONV1D, precision=p) for p in ("fp32", "bf16")]
    found += [case("ours, fp32", OURS), case(PROFILED, OURS, precision="bf16")]
    found.append(case("ours, bf16, compiled", OURS, precision="bf16", compile=True))
    if on_gpu:
        found.insert(-2, case("ours, tf32", OURS, tf32=True))
        found.append(case("ours, bf16, captured", CAPTURED, precision="bf16"))
    return found


def _preset(
    report: Report,
    preset: str,
    device: torch.device,
    peer: str,
    rates: dict[str, float],
    until: float,
) -> None:
    """One preset's rows and profile. It should end when `until` seconds are left."""
    windows = SETUPS[preset][1] if device.type == "cuda" else TRIAL_WINDOWS
    running = [Contestant(c, build=_batch(windows[0])) for c in cases(preset, device, peer)]
    try:
        title = f"{preset}, windows of {running[0].case.config().segment_samples:,} samples"
        table = report.table(f"train {preset}", COLUMNS, title)
        # All of them start at once; what is compiled takes longest.
        ready = until + (report.left - until) / 2
        for contestant in list(running):
            if not _answers(table, contestant, windows[0], max(1.0, report.left - ready)):
                running.remove(contestant)
        for done, count in enumerate(windows):
            # A fifth is for the profile.
            share = (report.left - until) * 4 / 5 / (len(windows) - done)
            _race(report, table, running, count, rates, ends=report.left - share)
            if report.left < until:
                report.say("no time for more windows")
                break
        for contestant in running:
            if contestant.case.label == PROFILED:
                _profile(report, preset, contestant)
    finally:
        for contestant in running:
            contestant.stop()


def _batch(windows: int) -> dict[str, int]:
    return {"train.batch": windows}


def _answers(table: Table, contestant: Contestant, windows: int, seconds: float) -> bool:
    """Whether a contestant answers in time that it is built; if not, a row says why."""
    try:
        contestant.answer(seconds)
    except ContestantError as e:
        table.row(case=contestant.case.label, windows=windows, note=f"failed: {e}")
        return False
    return True


def _race(
    report: Report,
    table: Table,
    running: list[Contestant],
    windows: int,
    rates: dict[str, float],
    *,
    ends: float,
) -> None:
    """Rows of all contestants with a number of windows, when `ends` seconds are left."""
    settled: list[tuple[Contestant, int]] = []
    times: dict[str, list[float]] = {}

    def failed(contestant: Contestant, why: ContestantError) -> None:
        times.pop(contestant.case.label, None)
        table.row(case=contestant.case.label, windows=windows, note=f"failed: {why}")

    for contestant in running:
        try:
            contestant.ask("build", _batch(windows), seconds=max(1.0, report.left - ends))
            steps = max(1, round(TURN_SECONDS / contestant.ask("time", 1)))
            settled.append((contestant, steps))
            times[contestant.case.label] = []
        except ContestantError as e:
            failed(contestant, e)
    rounds = 0
    while rounds < MOST_ROUNDS and (not rounds or report.left > ends):
        rounds += 1
        for turn in list(settled):
            contestant, steps = turn
            try:
                times[contestant.case.label].append(contestant.ask("time", steps))
            except ContestantError as e:
                settled.remove(turn)
                failed(contestant, e)
    for contestant, _ in settled:
        row = _row(contestant, windows, times, rates)
        table.row(case=contestant.case.label, windows=windows, **row)


def _row(
    contestant: Contestant,
    windows: int,
    times: dict[str, list[float]],
    rates: dict[str, float],
) -> dict[str, Any]:
    case = contestant.case
    settings, own = case.config(_batch(windows)), times[case.label]
    seconds = statistics.median(own)
    precision = settings.train.precision
    kernels, moved = contestant.ask("count") if case.network != CAPTURED else (None, None)
    rate = rates["tf32" if case.tf32 else precision]

    def times_as_fast(network: str) -> float | None:
        other = times.get(f"{network}, {precision}")
        if not other:
            return None
        return statistics.median(a / b for a, b in zip(other, own, strict=True))

    return {
        "ms": 1e3 * seconds,
        "samples_per_second": windows * settings.segment_samples / seconds,
        "times_conv1d": times_as_fast(CONV1D),
        "times_peer": times_as_fast(PEER),
        "peak_mb": (contestant.ask("peak") or 0) / 1e6,
        "kernels": kernels,
        # Its windows are padded with zeros, so that it computes fewer rows.
        "matrix_share": None if case.network == PEER else work(settings, False) / seconds / rate,
        "copy_share": moved and moved / seconds / rates["copies"],
        "rounds": len(own),
    }


def _profile(report: Report, preset: str, contestant: Contestant) -> None:
    label = contestant.case.label
    try:
        found = contestant.ask("profile", seconds=max(5.0, report.left))
    except ContestantError as e:
        report.say(f"no profile of {label}: {e}")
        return
    title = f"{preset}, {label}, a step: {found['kernels']:.0f} kernels, {found['ms']:.2f} ms"
    table = report.table(f"profile {preset}", SLOWEST, title)
    for kernel, (count, ms) in found["slowest"]:
        table.row(ms=ms, count=count, kernel=kernel[:82])
