"""What can be known on a GPU only, in stages that can be named and bounded.

    python -m benchmarks.gpu suite train generate
    python -m benchmarks.gpu learn --folder RECORDINGS --seconds 300
    python -m benchmarks.gpu --device cpu           tries all of it where there is no GPU

suite     whether engines and training compute what they should, by the tests marked `gpu`
train     throughput and peak memory of a training step, beside other networks, and its kernels
generate  speed of one stream, and how many streams run in real time at once
learn     a run on a folder of recordings: its curve, its model and what it sounds like

Each stage is a process of its own: it prints as it goes, is ended after its `--seconds`, and leaves
the next one alone whatever happens to it. Into `--out` it writes STAGE.json, all rows so far, and
STAGE.txt, what it printed. `benchmarks/GPU.md` says what each costs, and what to look at first.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from benchmarks.gpu_stages.report import Report

# Of each stage, in its order.
SECONDS = {"suite": 90.0, "train": 180.0, "generate": 100.0, "learn": 300.0}
TRIAL_SECONDS = 120.0
CHILD = [sys.executable, "-m", "benchmarks.gpu"]
# What a stage takes for its last lines, and for ending what it has started.
STOPPING, ENDING = 2.0, 4.0
# What a machine for GPUs may lack; the names of modules.
NEEDED = (
    *("torch", "triton", "numba", "scipy", "soundfile", "soxr", "librosa", "pydantic", "tomli_w"),
    *("platformdirs", "filelock", "safetensors", "typer", "tqdm", "matplotlib"),
    *("pytest", "pytest_timeout", "hypothesis"),
)


def main() -> int:
    # So that what was started is ended, as by Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options = parse()
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(f"missing here: {', '.join(missing)}; benchmarks/GPU.md says how to bring them")
        return 1
    if options.child:
        return child(options)
    options.out.mkdir(parents=True, exist_ok=True)
    where = machine_line(options.device)
    print(where, flush=True)
    try:
        outcomes = {stage: parent(stage, options, where) for stage in options.stages}
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    print("\n" + "\n".join(f"{stage:9} {outcome}" for stage, outcome in outcomes.items()))
    print(f"written to {options.out}")
    return int(any(not outcome.startswith("done") for outcome in outcomes.values()))


# --- from outside ---------------------------------------------------------------------------------


def parent(stage: str, options: argparse.Namespace, where: str) -> str:
    """Run a stage and show what it prints. Returns how it ended."""
    seconds = options.seconds or (SECONDS[stage] if options.device == "cuda" else TRIAL_SECONDS)
    started = time.monotonic()
    print(f"\n--- {stage}, at most {seconds:.0f} s", flush=True)
    command = [*CHILD, *sys.argv[1:], "--child", stage]
    command += ["--until", str(time.time() + seconds - ENDING - STOPPING), "--where", where]
    # The second as the command line sets it.
    environment = {"GOMP_SPINCOUNT": "2000"} | os.environ | {"PYTHONUNBUFFERED": "1"}
    # Triton reads it once, when it is first imported: without a GPU it then interprets kernels.
    environment.pop("TRITON_INTERPRET", None)
    if options.device == "cpu":
        environment["TRITON_INTERPRET"] = "1"
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        # With all that it starts, so that nothing is left when it ends.
        start_new_session=True,
    )
    copy = ["tee", options.out / f"{stage}.txt"]
    # Ctrl-C is not for it: it ends with what it copies.
    printed = subprocess.Popen(copy, stdin=process.stdout, start_new_session=True)
    if process.stdout is not None:
        process.stdout.close()
    try:
        process.wait(seconds - ENDING)
        outcome = "done" if process.returncode == 0 else f"failed ({process.returncode})"
    except subprocess.TimeoutExpired:
        outcome = f"cut off: what {stage}.txt lacks was not measured"
    finally:
        end(process)
        printed.wait()
    return f"{outcome}, {time.monotonic() - started:.0f} s"


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a stage's process, kindly if it can, and whatever it has started."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(ENDING - 0.5)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def machine_line(device: str) -> str:
    """The machine that figures are taken on."""
    import torch

    from wavenet.system.machine import machine

    line = machine()
    if device == "cuda":
        if not torch.cuda.is_available():
            sys.exit("PyTorch finds no NVIDIA GPU here; --device cpu tries the stages without one")
        card = torch.cuda.get_device_properties(0)
        size = f"{card.total_memory / 2**30:.0f} GiB, sm_{card.major}{card.minor}"
        line = f"{card.name}, {size}, driver {driver()}, CUDA {torch.version.cuda}; {line}"
    try:
        return f"{line}, triton {version('triton')}"
    except PackageNotFoundError:
        return f"{line}, without triton"


def driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.splitlines()[0].strip()


# --- a stage's process ----------------------------------------------------------------------------


def child(options: argparse.Namespace) -> int:
    """Be the process of a stage."""
    import torch

    from benchmarks.gpu_stages.report import Report
    from wavenet.errors import WavenetError

    stage, device = options.child, torch.device(options.device)
    path = options.out / f"{stage}.json"
    about = {"stage": stage, "machine": options.where}
    report = Report(path, options.until - time.time(), about)
    report.say(options.where)
    try:
        good = run_stage(options, report, device)
    except WavenetError as e:
        # Such as a folder or a setting that there is not.
        report.say(f"{stage}: {e}")
        return 1
    return 0 if good else 1


def run_stage(options: argparse.Namespace, report: "Report", device: "torch.device") -> bool:
    """Whether all went well. What one stage imports is none of the others' business."""
    stage = options.child
    if stage == "suite":
        from benchmarks.gpu_stages import suite

        return suite.run(report, device)
    if stage == "train":
        from benchmarks.gpu_stages import train

        train.run(report, device, options.peer)
    elif stage == "generate":
        from benchmarks.gpu_stages import generate

        generate.run(report, device)
    else:
        from benchmarks.gpu_stages import learn

        learn.run(report, device, options.folder, options.config, options.set)
    return True


def parse() -> argparse.Namespace:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="Default: all of them.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, help="Of each stage that is named.")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--peer", default="", help="train: a checkout of r9y9/wavenet_vocoder.")
    parser.add_argument(
        "--folder", type=Path, default=Path("data/starter"), help="learn: of recordings."
    )
    parser.add_argument("--config", default="small", help="learn: a preset or a TOML file.")
    parser.add_argument("--set", action="append", default=[], help="learn: its settings.")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--where", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.stages = options.stages or list(SECONDS)
    unknown = [stage for stage in options.stages if stage not in SECONDS]
    if unknown:
        parser.error(f"no stage is called {unknown[0]}: use {', '.join(SECONDS)}")
    if options.seconds is not None and options.seconds <= ENDING + STOPPING:
        parser.error(
            f"--seconds {options.seconds:g} is too short: {ENDING + STOPPING:g} go to ending"
        )
    return options


if __name__ == "__main__":
    sys.exit(main())
