"""What this machine's vector unit can do, as far as the kernels need to know it.

Only llvmlite is asked, the library through which numba drives LLVM. The kernels are written once,
in vectors of `lanes` float32 numbers:

    lanes  fused  where
       16  yes    x86-64 with AVX-512
        8  yes    x86-64 with AVX2 and FMA
        4  no     any x86-64 (SSE2)
        4  yes    arm64 (NEON)
        4  no     anything else: correct, but nobody tuned it

`fused` says whether multiply-add is one instruction. Where it is not, LLVM's generic form would
become a call of a C function for each number, so the kernels write a multiplication and an addition
instead.

NUMBA_CPU_NAME and NUMBA_CPU_FEATURES, numba's own variables, choose what it compiles for; the
answer here follows them. WAVENET_LANES=4, 8 or 16 overrides the width alone (a width above the
machine's own is still correct).
"""

import os
from dataclasses import dataclass

import llvmlite.binding as llvm

from wavenet.errors import EngineError


@dataclass(frozen=True)
class Host:
    """The machine that the kernels are compiled for.

    `rows` is how many rows of a product are summed at once. The widest tile of a product then holds
    2 vectors x `rows` sums, out of 16 or 32 vector registers.
    """

    lanes: int  # float32 numbers in a vector
    fused: bool  # multiply-add is one instruction
    rows: int
    name: str


def host() -> Host:
    """The machine that numba compiles for. Raises EngineError when WAVENET_LANES is no width."""
    architecture = llvm.get_process_triple().partition("-")[0]
    detected = _host_for(architecture, _features())
    lanes = os.environ.get("WAVENET_LANES", "")
    if not lanes:
        return detected
    if lanes not in ("4", "8", "16"):
        raise EngineError(f"WAVENET_LANES={lanes}", "must be 4, 8 or 16")
    return Host(int(lanes), detected.fused, detected.rows, f"{detected.name}, {lanes} lanes")


def _features() -> set[str]:
    """Names of the instruction sets that numba may use."""
    if "NUMBA_CPU_FEATURES" in os.environ:
        flags = os.environ["NUMBA_CPU_FEATURES"].split(",")
        return {flag[1:] for flag in flags if flag.startswith("+")}
    if os.environ.get("NUMBA_CPU_NAME", "host") != "host":
        # numba then leaves the features to the processor's name, and llvmlite cannot say what a
        # name stands for. So assume the least.
        return set()
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:
        # LLVM does not know this kind of machine.
        return set()
    return {name for name, present in features.items() if present}


def _host_for(architecture: str, features: set[str]) -> Host:
    """The vector width and tile size for an architecture with these instruction sets."""
    if architecture in ("x86_64", "amd64"):
        if {"avx512f", "avx512vl", "avx512dq"} <= features:
            return Host(16, True, 8, "AVX-512")
        if {"avx2", "fma"} <= features:
            return Host(8, True, 4, "AVX2")
        return Host(4, False, 4, "SSE2")
    if architecture in ("aarch64", "arm64"):
        return Host(4, True, 8, "NEON")
    return Host(4, False, 4, architecture)
