"""How fast training is on a GPU, beside other networks and beside what the card can do.

For each preset and number of windows: our stack, the same network in ordinary convolutions, and
another program's module, each in a process of its own. They take turns, round after round, so that
ratios are taken within each round. The share of the matrix rate is what a step's products would
take at the speed of one large product in that precision, over what the step takes; the share of the
copy rate is the same of the bytes that its kernels read and write.

The kernels of the compiled row are not counted, as they are the compiler's.

`captured` is an experiment that the program does not have: forward and backward pass replayed as a
CUDA graph.
"""

import statistics
from collections.abc import Sequence
from contextlib import suppress
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

# Seconds of a window, and how many there are of them in a step. Each contestant keeps the memory of
# its largest step: nine of them take 58 GiB.
SETUPS: dict[str, tuple[float, Sequence[int]]] = {
    "paper": (0.5, (4, 16, 32)),
    "r9y9-mulaw256": (0.3628, (2, 8, 16)),
}
# What a CPU tries instead, to see that every line runs.
TRIAL = {"model.layers": 4, "model.dilation_cycle": 8, "train.segment_seconds": 0.01}
TRIAL_WINDOWS = (1, 2)
MOST_ROUNDS, TRIAL_ROUNDS = 15, 3
# What it may take at least to make a contestant ready for other windows.
BUILD_SECONDS = 15.0
PROFILED, COMPILED = f"{OURS}, bf16", f"{OURS}, bf16, compiled"
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
    if device.type == "cuda":
        # The memory is the contestants' from here on.
        torch.cuda.empty_cache()
    rate = f"{rates['copies'] / 1e12:.3f} TB/s"
    table.row(what="copies", rate=rate, per_second=rates["copies"])
    return rates


def cases(preset: str, device: torch.device, peer: str) -> list[Case]:
    """The contestants. On a GPU the others take TF32, as PyTorch's convolutions do by default."""
    on_gpu = device.type == "cuda"
    base: dict[str, Any] = {"train.segment_seconds": SETUPS[preset][0]} if on_gpu else TRIAL
    single = "tf32" if on_gpu else "fp32"
    kinds = [(network, kind) for network in (PEER, CONV1D) for kind in (single, "bf16")]
    kinds += [(OURS, "fp32"), (OURS, "tf32"), (OURS, "bf16"), (CAPTURED, "bf16")]
    found = []
    for network, kind in kinds:
        possible = on_gpu or (kind != "tf32" and network != CAPTURED)
        if not possible or (network == PEER and not peer):
            continue
        precision = {"train.precision": "bf16" if kind == "bf16" else "fp32"}
        options = network, base | precision, kind == "tf32", device.type, peer
        found.append(Case(f"{network}, {kind}", preset, *options))
    compiled = base | {"train.precision": "bf16", "train.compile": True}
    return [*found, Case(COMPILED, preset, OURS, compiled, False, device.type, peer)]


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
        profile: dict[str, Any] = {}
        for done, count in enumerate(windows):
            # A fifth is for the profile.
            share = (report.left - until) * 4 / 5 / (len(windows) - done)
            _race(report, table, running, count, rates, ends=report.left - share)
            if report.left < until:
                report.say("no time for more windows")
                break
            # Before the largest step, in case that one fails.
            if done == len(windows) - 2:
                profile = _profile(running, count)
        if profile:
            _show(report, preset, profile)
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

    def failed(contestant: Contestant, why: object) -> None:
        times.pop(contestant.case.label, None)
        table.row(case=contestant.case.label, windows=windows, note=f"failed: {why}")

    def limit() -> float:
        return max(BUILD_SECONDS, report.left - ends)

    for contestant in running:
        if report.left < ends and settled:
            failed(contestant, "no time")
            continue
        try:
            contestant.ask("build", _batch(windows), seconds=limit())
            steps = max(1, round(TURN_SECONDS / contestant.ask("time", 1, seconds=limit())))
            settled.append((contestant, steps))
            times[contestant.case.label] = []
        except ContestantError as e:
            failed(contestant, e)
    rounds = 0
    most = TRIAL_ROUNDS if any(c.case.device == "cpu" for c in running) else MOST_ROUNDS
    while rounds < most and (not rounds or report.left > ends):
        rounds += 1
        for turn in list(settled):
            contestant, steps = turn
            try:
                times[contestant.case.label].append(contestant.ask("time", steps, seconds=limit()))
            except ContestantError as e:
                settled.remove(turn)
                failed(contestant, e)
    for contestant, _ in settled:
        try:
            row = _row(contestant, windows, times, rates)
        except ContestantError as e:
            failed(contestant, e)
            continue
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
    kind = "tf32" if case.tf32 else settings.train.precision
    peak = contestant.ask("peak", seconds=BUILD_SECONDS) or 0
    kernels = moved = None
    if case.network != CAPTURED and not settings.train.compile:
        kernels, moved = contestant.ask("count", seconds=BUILD_SECONDS)

    def times_as_fast(network: str) -> float | None:
        """As the network in the same kind of numbers."""
        other = times.get(f"{network}, {kind}")
        if not other:
            return None
        return statistics.median(a / b for a, b in zip(other, own, strict=True))

    # The other program's windows are padded with zeros, so that it computes fewer rows.
    flops = None if case.network == PEER else work(settings, recomputed=False)
    return {
        "ms": 1e3 * seconds,
        "samples_per_second": windows * settings.segment_samples / seconds,
        "times_conv1d": times_as_fast(CONV1D),
        "times_peer": times_as_fast(PEER),
        "peak_mb": peak / 1e6,
        "kernels": kernels,
        "matrix_share": flops and flops / seconds / rates[kind],
        "copy_share": moved and moved / seconds / rates["copies"],
        "rounds": len(own),
    }


def _profile(running: list[Contestant], windows: int) -> dict[str, Any]:
    """A step of ours by the profiler; nothing where it fails."""
    for contestant in running:
        if contestant.case.label == PROFILED:
            with suppress(ContestantError):
                found = contestant.ask("profile", seconds=BUILD_SECONDS)
                return {"windows": windows, **found}
    return {}


def _show(report: Report, preset: str, profile: dict[str, Any]) -> None:
    step = f"{preset}, {PROFILED}, {profile['windows']} windows"
    title = f"{step}: {profile['kernels']:.0f} kernels, {profile['ms']:.2f} ms"
    table = report.table(f"profile {preset}", SLOWEST, title)
    for kernel, (count, ms) in profile["slowest"]:
        table.row(ms=ms, count=count, kernel=kernel[:82])
