"""What a corpus of a hundred hours costs: indexed the first time and again, the way to the first
step, memory, batches.

    python -m benchmarks.hundred_hours PLACE [HOURS] [FILES] [STEPS]

Makes HOURS (100) of recordings in FILES (40,000) FLAC files under PLACE, where those that an
earlier call made stay, and indexes them there; trains STEPS (300) of the preset `tiny` from the
warm cache, and a few of `small` and `paper`. PLACE then holds some 20 GB: delete it.

Each measurement is a process of its own. Anonymous memory is what no file backs (RssAnon): the
cache is a mapped file, whose pages the kernel takes back when it likes. Seconds of CPU are of all
threads; where other programs keep the machine busy, they are the ones to trust.
"""

import json
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from benchmarks.arguments import parser
from wavenet.config import AudioConfig
from wavenet.system.machine import cores, machine

RATE = 16000
NOTES, PARTIALS = 64, 12
PER_FOLDER = 1000  # files
SETTLED = 20  # steps after which memory should no longer grow


def main(place: Path, hours: float, files: int, steps: int) -> None:
    print(machine())
    folder = place / "recordings"
    seconds = 3600 * hours / files
    print(f"{'':46} {'seconds':>8} {'of CPU':>8}")
    row(
        "made",
        make_recordings(folder, files, seconds),
        None,
        f"{files:,} files of {seconds:.1f} s, {hours:g} hours",
    )
    index(place, "indexed, first time")
    index(place, "indexed again, nothing new")
    write(folder / "new.flac", files, seconds)
    index(place, "indexed again, one file more")
    (folder / "new.flac").unlink()
    for preset, count in (("tiny", steps), ("small", SETTLED + 5), ("paper", SETTLED + 5)):
        train(place, preset, count)


def row(what: str, seconds: float, cpu: float | None, more: str) -> None:
    print(
        f"{what:46} {seconds:>8.2f} {'' if cpu is None else format(cpu, '.2f'):>8}  {more}",
        flush=True,
    )


def index(place: Path, what: str) -> None:
    figures = child("index", place)
    more = f"{figures['decoded']:,} decoded, anonymous memory {figures['peak']:.0f} MB at most"
    row(what, figures["seconds"], figures["cpu"], more)


def train(place: Path, preset: str, steps: int) -> None:
    figures = child("train", place, preset, steps)
    row(
        f"{preset}: from the command to the model",
        figures["prepared"],
        figures["prepared_cpu"],
        "imports, index, split, the run's files, weights",
    )
    row(
        f"{preset}: from there to the end of the first step",
        figures["first_step"],
        figures["first_step_cpu"],
        "three steps to time it, and the first",
    )
    batch, step_cpu = figures["batch"], figures["step_cpu"]
    row(
        f"{preset}: a step",
        figures["step"],
        step_cpu,
        f"of it the batch {1000 * batch:.2f} ms of CPU, {100 * batch / step_cpu:.2f} %",
    )
    memory = (
        f"anonymous memory {figures['early']:.0f} MB after step {SETTLED}, "
        f"{figures['late']:.0f} MB at the end"
    )
    row(f"{preset}: {steps} steps", figures["steps"], figures["steps_cpu"], memory)


def child(verb: str, *args: object) -> Any:
    """What one measurement in a fresh process prints: JSON, in its last line."""
    command = [sys.executable, __file__, f"--{verb}", str(time.time()), *map(str, args)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(printed.splitlines()[-1])


# --- recordings -----------------------------------------------------------------------------------


def make_recordings(folder: Path, files: int, seconds: float) -> float:
    """Write what is missing. Returns the seconds that took."""
    started = time.monotonic()
    paths = [folder / f"{i // PER_FOLDER:03}" / f"{i:06}.flac" for i in range(files)]
    for parent in {p.parent for p in paths}:
        parent.mkdir(parents=True, exist_ok=True)
    missing = [i for i, p in enumerate(paths) if not p.exists()]
    missing_paths = [paths[i] for i in missing]
    with ProcessPoolExecutor(cores()) as pool:
        written = pool.map(write, missing_paths, missing, [seconds] * len(missing), chunksize=50)
        # To the end, so that an error in a worker is raised here.
        list(written)
    return time.monotonic() - started


def write(path: Path, seed: int, seconds: float) -> None:
    """One recording of decaying notes at random levels, no two alike.

    It gets its name only when it is complete.
    """
    rng = np.random.default_rng(seed)
    wav = np.empty(0, np.float32)
    parts = []
    while len(wav) < seconds * RATE:
        parts = [
            BANK[i] * np.float32(rng.uniform(0.05, 0.4))
            for i in rng.integers(NOTES, size=round(4 * seconds))
        ]
        wav = np.concatenate([wav, *parts])
    partial = path.with_name(f".{path.name}")
    sf.write(partial, wav[: round(seconds * RATE)], RATE, "PCM_16", format="FLAC")
    partial.rename(path)


def notes() -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    rng = np.random.default_rng(0)
    bank = []
    for hertz in 80 * 2 ** (np.arange(NOTES) / 16):
        t = np.arange(round(rng.uniform(0.2, 0.6) * RATE)) / RATE
        partials = [
            rng.uniform(0.1, 1) / k * np.exp(-3 * k * t) * np.sin(2 * np.pi * k * hertz * t)
            for k in range(1, PARTIALS)
        ]
        note = np.sum(partials, axis=0) + 0.002 * rng.standard_normal(len(t))
        bank.append((note / np.abs(note).max()).astype(np.float32))
    return bank


BANK = notes()


# --- one measurement, in a process of its own -----------------------------------------------------


def anonymous(which: str = "RssAnon") -> float:
    """Megabytes of this process that no file backs."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(which))


def index_here(place: Path) -> dict[str, float]:
    from wavenet.data.pcm_cache import index_folder

    peak = 0.0

    def on_file(done: int, total: int) -> None:
        nonlocal peak
        if done % 100 == 0 or done == total:
            peak = max(peak, anonymous())

    started, cpu = time.monotonic(), time.process_time()
    index = index_folder(
        place / "recordings", AudioConfig(), trim=True, cache=place / "cache", on_file=on_file
    )
    figures = {"seconds": time.monotonic() - started, "cpu": time.process_time() - cpu}
    return figures | {"decoded": index.decoded, "peak": max(peak, anonymous())}


def train_here(began: float, place: Path, preset: str, steps: int) -> dict[str, float]:
    from wavenet.data.dataset import WindowDataset
    from wavenet.training import events
    from wavenet.training.session import train

    batch_cpu: list[float] = []  # seconds
    # Wall clock and CPU time at the end of each step.
    ends: list[tuple[float, float]] = []
    figures: dict[str, float] = {}
    make = WindowDataset.batch

    def timed(dataset: Any, *args: Any, **kwargs: Any) -> Any:
        started = time.thread_time()
        batch = make(dataset, *args, **kwargs)
        batch_cpu.append(time.thread_time() - started)
        return batch

    class Watching(events.TrainingListener):
        def prepared(self, run: Any, corpus: Any) -> None:
            self.began, self.cpu = time.time(), time.process_time()
            figures.update(prepared=self.began - began, prepared_cpu=self.cpu)

        def stepped(self, trainer: Any, bits: float) -> None:
            ends.append((time.time(), time.process_time()))
            if len(ends) == 1:
                wall, cpu = ends[0]
                figures.update(first_step=wall - self.began, first_step_cpu=cpu - self.cpu)
            if len(ends) == SETTLED:
                figures["early"] = anonymous()
            if len(ends) == steps:
                figures["late"] = anonymous()

    WindowDataset.batch = timed  # type: ignore[assignment, method-assign]
    train(
        place / "recordings",
        config=preset,
        overrides={"train.sample_seconds": 0, "train.validation_seconds": 1},
        out=place / f"run-{preset}-{time.time_ns()}",
        stop_at=steps,
        cache=place / "cache",
        device="cpu",
        listeners=[Watching()],
    )
    step, step_cpu = np.median(np.diff(ends, axis=0), axis=0)
    total, total_cpu = np.subtract(ends[-1], ends[0])
    return figures | {
        "step": step,
        "step_cpu": step_cpu,
        "batch": float(np.mean(batch_cpu)),
        "steps": total,
        "steps_cpu": total_cpu,
    }


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--index", _, place]:
            print(json.dumps(index_here(Path(place))))
        case ["--train", began, place, preset, steps]:
            print(json.dumps(train_here(float(began), Path(place), preset, int(steps))))
        case _:
            arguments = parser(__doc__)
            arguments.add_argument("place", type=Path)
            arguments.add_argument("hours", type=float, nargs="?", default=100.0)
            arguments.add_argument("files", type=int, nargs="?", default=40_000)
            arguments.add_argument("steps", type=int, nargs="?", default=300)
            main(**vars(arguments.parse_args()))
