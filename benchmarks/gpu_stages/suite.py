"""Whether what runs on a GPU computes what it should: the tests marked `gpu`, in parts at once.

Each part is a process, since an illegal access to a GPU's memory ends all that follows in one. A
part's log lies beside the report.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import torch

from benchmarks.gpu_stages.compiling import COMPILED, compiled
from benchmarks.gpu_stages.report import Column, Report

ROOT = Path(__file__).parent.parent.parent
PARTS = {
    "triton": ["tests/engines", "-k", "triton"],
    "cuda-graph": ["tests/engines", "-k", "cuda-graph"],
    "other engines' tests": ["tests/engines", "-k", "not triton and not cuda-graph"],
    "training": ["tests/training", "tests/model"],
}
COLUMNS = (
    Column("part", "part", 20),
    Column("passed", "passed", 6, "d"),
    Column("failed", "failed", 6, "d"),
    Column("skipped", "skipped", 7, "d"),
    Column("seconds", "seconds", 7, ".0f"),
)
FAILED = (Column("test", "what failed", 90),)
# Of a part that finished.
NO_TESTS = 5


@dataclass(frozen=True)
class Part:
    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    results: Path


def run(report: Report, device: torch.device) -> bool:
    """Whether every part passed in time."""
    folder = report.path.parent / "suite"
    folder.mkdir(exist_ok=True)
    heard = folder / "compiled.jsonl"
    heard.unlink(missing_ok=True)
    table = report.table("suite", COLUMNS)
    good, failures = True, []
    with running(folder, device, heard) as parts:
        waiting = list(parts)
        while waiting and report.left > 0:
            time.sleep(0.1)
            for part in [p for p in waiting if p.process.poll() is not None]:
                waiting.remove(part)
                row, failed = outcome(part)
                row["seconds"] = report.seconds - report.left
                table.row(part=part.name, **row)
                failures += failed
                good &= part.process.returncode in (0, NO_TESTS) and "note" not in row
        for part in waiting:
            good = False
            part.process.send_signal(signal.SIGINT)
        for part in waiting:
            # It then writes down what it has found so far, unless a kernel does not let it.
            with suppress(subprocess.TimeoutExpired):
                part.process.wait(timeout=1)
            row, failed = outcome(part)
            failures += failed
            table.row(part=part.name, **row | {"note": f"cut off at {last_test(part)}"})
    kernels = compiled(heard)
    if kernels:
        seconds = [k["seconds"] for k in kernels]
        longest = f"{sum(seconds):.1f} s in all, the longest {max(seconds):.1f} s"
        report.say(f"Triton compiled {len(kernels)} kernels: {longest}")
        report.keep("compiled", {"kernels": len(kernels), "seconds": sum(seconds)})
    if failures:
        broken = report.table("failed", FAILED, "")
        for test, message in failures:
            broken.row(test=test, note=message)
    return good


@contextmanager
def running(folder: Path, device: torch.device, heard: Path) -> Iterator[list[Part]]:
    """All parts, which are killed at the end."""
    on_gpu = device.type == "cuda"
    # What an interpreter takes seconds for is of no use for a trial.
    which = "gpu" if on_gpu else "gpu and not slow"
    command = [sys.executable, "-m", "pytest", "-m", which, "-p", "no:cacheprovider"]
    # The warnings of other versions, and of plugins that happen to be there, fail nothing here.
    command += ["-W", "default", "-p", "no:benchmark", "-p", "benchmarks.gpu_stages.compiling"]
    # The log then names the test that a part was at, and one that hangs does not end the rest.
    command += ["-vv", "-o", "timeout=40"]
    parts = []
    try:
        for name, arguments in PARTS.items():
            stem = folder / name.replace(" ", "-").replace("'", "")
            log, results = stem.with_suffix(".txt"), stem.with_suffix(".xml")
            results.unlink(missing_ok=True)
            with log.open("wb") as file:
                process = subprocess.Popen(
                    [*command, *arguments, f"--junitxml={results}"],
                    cwd=ROOT,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env=os.environ | {COMPILED: str(heard.resolve())},
                )
            parts.append(Part(name, process, log, results))
        yield parts
    finally:
        for part in parts:
            part.process.kill()
            part.process.wait()


def last_test(part: Part) -> str:
    """The last test that a part's log names."""
    named = [line.split()[0] for line in part.log.read_text("utf-8").splitlines() if "::" in line]
    return named[-1] if named else "its start"


def outcome(part: Part) -> tuple[dict[str, object], list[tuple[str, str]]]:
    """The numbers of a part's tests, and each that failed, with the first line of why."""
    try:
        suite = ElementTree.parse(part.results).getroot().find("testsuite")
        assert suite is not None
    except (OSError, ElementTree.ParseError, AssertionError):
        return {"note": f"ended with {part.process.returncode}; {part.log}"}, []
    count = {k: int(suite.get(k, 0)) for k in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    row: dict[str, object] = {
        "passed": count["tests"] - failed - count["skipped"],
        "failed": failed,
        "skipped": count["skipped"],
    }
    if not count["tests"]:
        row["note"] = f"no test was found; {part.log}"
    failures = []
    for test in suite.iter("testcase"):
        for kind in ("failure", "error"):
            found = test.find(kind)
            if found is not None:
                lines = found.get("message", "").strip().splitlines() or [""]
                name = f"{test.get('classname', '')}::{test.get('name', '')}"
                failures.append((name, lines[0][:200]))
    return row, failures
