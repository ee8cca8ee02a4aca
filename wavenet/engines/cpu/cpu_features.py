"""What this machine's vector unit can do, as far as the kernels need to know it. Only NumPy's neighbour llvmlite is asked.

The kernels are written once, in vectors of `lanes` float32 numbers:

    lanes  fused  where
       16  yes    x86-64 with AVX-512
        8  yes    x86-64 with AVX2 and FMA
        4  no     any x86-64 (SSE2)
        4  yes    arm64 (NEON)
        4  no     anything else: correct, but nobody tuned it

`fused` says whether multiply-add is one instruction. Where it is not, the generic form would become a call of a C function for each
number, so a multiplication and an addition are written instead.

NUMBA_CPU_NAME and NUMBA_CPU_FEATURES, numba's own variables, choose what it compiles for; the answer here follows them.
WAVENET_LANES=4, 8 or 16 overrides the width alone (wider than the machine is still correct).
"""

import os
from dataclasses import dataclass

import llvmlite.binding as llvm

from wavenet.errors import EngineError


@dataclass(frozen=True)
class Host:
    """Vector width in float32 numbers, multiply-add, and how many rows of a product are held in registers at once."""

    lanes: int
    fused: bool
    rows: (
        int  # of the widest product tile: 2 vectors x rows accumulators, out of 16 or 32 registers
    )
    name: str

    @property
    def tuned(self) -> bool:
        """Whether this is more than the fallback that works everywhere."""
        return self.fused


def host() -> Host:
    """The machine that numba compiles for. Raises EngineError when WAVENET_LANES makes no sense."""
    found = _of(llvm.get_process_triple().partition("-")[0], _features())
    asked = os.environ.get("WAVENET_LANES", "")
    if not asked:
        return found
    if asked not in ("4", "8", "16"):
        raise EngineError(f"WAVENET_LANES={asked}: must be 4, 8 or 16")
    return Host(int(asked), found.fused, found.rows, f"{found.name}, {asked} lanes")


def _features() -> set[str]:
    """Names of the instruction sets that numba may use."""
    if "NUMBA_CPU_FEATURES" in os.environ:
        return {f[1:] for f in os.environ["NUMBA_CPU_FEATURES"].split(",") if f.startswith("+")}
    if os.environ.get("NUMBA_CPU_NAME", "host") != "host":
        return set()  # numba then leaves the features to the processor's name, which cannot be asked: assume the least
    try:
        return {name for name, there in llvm.get_host_cpu_features().items() if there}
    except RuntimeError:  # LLVM does not know this kind of machine
        return set()


def _of(architecture: str, features: set[str]) -> Host:
    if architecture in ("x86_64", "amd64"):
        if {"avx512f", "avx512vl", "avx512dq"} <= features:
            return Host(16, True, 8, "AVX-512")
        if {"avx2", "fma"} <= features:
            return Host(8, True, 4, "AVX2")
        return Host(4, False, 4, "SSE2")
    if architecture in ("aarch64", "arm64"):
        return Host(4, True, 8, "NEON")
    return Host(4, False, 4, architecture)
