"""What a corpus of a hundred hours costs: indexed the first time and again, the way to the first step, memory, batches.

    python benchmarks/hundred_hours.py PLACE [HOURS] [FILES] [STEPS]

Makes HOURS (100) of recordings in FILES (40,000) FLAC files under PLACE, where those that an earlier call made stay, and indexes them
there; trains STEPS (300) of the preset `tiny` from the warm cache, and a few of `small` and `paper`. PLACE then holds some 20 GB:
delete it.

Each measurement is a process of its own. Anonymous memory is what no file backs (RssAnon): the cache is a mapped file, whose pages the
kernel takes back when it likes. Seconds of CPU are of all threads; where other programs keep the machine busy, they are the ones to trust.
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
        make(folder, files, seconds),
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
    found = child("index", place)
    more = f"{found['decoded']:,} decoded, anonymous memory {found['peak']:.0f} MB at most"
    row(what, found["seconds"], found["cpu"], more)


def train(place: Path, preset: str, steps: int) -> None:
    found = child("train", place, preset, steps)
    row(
        f"{preset}: from the command to the model",
        found["prepared"],
        found["prepared_cpu"],
        "imports, index, split, the run's files, weights",
    )
    row(
        f"{preset}: from there to the end of the first step",
        found["first_step"],
        found["first_step_cpu"],
        "three steps to time it, and the first",
    )
    step, batch = found["step"], found["batch"]
    share = 100 * batch / found["step_cpu"]
    row(
        f"{preset}: a step",
        step,
        found["step_cpu"],
        f"of it the batch {1000 * batch:.2f} ms of CPU, {share:.2f} %",
    )
    memory = f"anonymous memory {found['early']:.0f} MB after step {SETTLED}, {found['late']:.0f} MB at the end"
    row(f"{preset}: {steps} steps", found["steps"], found["steps_cpu"], memory)


def child(verb: str, *args: object) -> Any:
    """What one measurement says, in a fresh process."""
    command = [sys.executable, __file__, f"--{verb}", str(time.time()), *map(str, args)]
    return json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[
            -1
        ]
    )


# --- recordings ------------------------------------------------------------------------------------------------------


def make(folder: Path, files: int, seconds: float) -> float:
    """Write what is missing; returns the seconds that took."""
    started = time.monotonic()
    paths = [folder / f"{i // PER_FOLDER:03}" / f"{i:06}.flac" for i in range(files)]
    for parent in {p.parent for p in paths}:
        parent.mkdir(parents=True, exist_ok=True)
    missing = [i for i, p in enumerate(paths) if not p.exists()]
    with ProcessPoolExecutor(cores()) as pool:
        list(
            pool.map(
                write, [paths[i] for i in missing], missing, [seconds] * len(missing), chunksize=50
            )
        )
    return time.monotonic() - started


def write(path: Path, seed: int, seconds: float) -> None:
    """One recording of decaying notes at random levels, no two alike; under its name only when it is whole."""
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
    found = []
    for hertz in 80 * 2 ** (np.arange(NOTES) / 16):
        t = np.arange(round(rng.uniform(0.2, 0.6) * RATE)) / RATE
        partials = [
            rng.uniform(0.1, 1) / k * np.exp(-3 * k * t) * np.sin(2 * np.pi * k * hertz * t)
            for k in range(1, PARTIALS)
        ]
        note = np.sum(partials, axis=0) + 0.002 * rng.standard_normal(len(t))
        found.append((note / np.abs(note).max()).astype(np.float32))
    return found


BANK = notes()


# --- one measurement, in a process of its own ------------------------------------------------------------------------


def anonymous(which: str = "RssAnon") -> float:
    """Megabytes of this process that no file backs."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(which))


def index_here(place: Path) -> dict[str, float]:
    from wavenet.data.pcm_cache import index_folder

    peak = 0.0

    def look(done: int, total: int) -> None:
        nonlocal peak
        if done % 100 == 0 or done == total:
            peak = max(peak, anonymous())

    started, cpu = time.monotonic(), time.process_time()
    found = index_folder(
        place / "recordings", AudioConfig(), trim=True, cache=place / "cache", on_file=look
    )
    taken = {"seconds": time.monotonic() - started, "cpu": time.process_time() - cpu}
    return taken | {"decoded": found.decoded, "peak": max(peak, anonymous())}


def train_here(began: float, place: Path, preset: str, steps: int) -> dict[str, float]:
    from wavenet.training import events, session

    made: list[float] = []  # CPU seconds of each batch
    ends: list[tuple[float, float]] = []  # of steps, by the clock and in CPU time
    found: dict[str, float] = {}

    class Watching(events.TrainingListener):
        def prepared(self, config: Any, run: Any, corpus: Any) -> None:
            self.began, self.cpu = time.time(), time.process_time()
            found.update(prepared=self.began - began, prepared_cpu=self.cpu)

        def starting(self, trainer: Any, until: int, seconds_per_step: float) -> None:
            make = trainer.batches._make

            def timed(step: int) -> Any:
                started = time.thread_time()
                batch = make(step)
                made.append(time.thread_time() - started)
                return batch

            trainer.batches._make = timed

        def stepped(self, trainer: Any, bits: float) -> None:
            ends.append((time.time(), time.process_time()))
            if len(ends) == 1:
                found.update(
                    first_step=ends[0][0] - self.began, first_step_cpu=ends[0][1] - self.cpu
                )
            if len(ends) == SETTLED:
                found["early"] = anonymous()
            if len(ends) == steps:
                found["late"] = anonymous()

    settings = ("train.sample_seconds=0", "train.validation_seconds=1")
    run = place / f"run-{preset}-{time.time_ns()}"
    request = session.TrainOptions(
        place / "recordings",
        preset,
        settings,
        run,
        stop_at=steps,
        cache=place / "cache",
        device="cpu",
    )
    session.train(request, Watching())
    step, step_cpu = np.median(np.diff(ends, axis=0), axis=0)
    whole, whole_cpu = np.subtract(ends[-1], ends[0])
    return found | {
        "step": step,
        "step_cpu": step_cpu,
        "batch": float(np.mean(made)),
        "steps": whole,
        "steps_cpu": whole_cpu,
    }


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--index", _, place]:
            print(json.dumps(index_here(Path(place))))
        case ["--train", began, place, preset, steps]:
            print(json.dumps(train_here(float(began), Path(place), preset, int(steps))))
        case [place, *rest]:
            given = [*rest, *("100", "40000", "300")[len(rest) :]]
            main(Path(place), float(given[0]), int(given[1]), int(given[2]))
        case _:
            sys.exit(__doc__)
