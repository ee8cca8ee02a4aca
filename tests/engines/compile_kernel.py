"""Compiles the kernel for GPUs that are not here.

Reads a target from each line, and prints, each as a line of JSON, what there is to check in the
compiled code.
"""

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource

from wavenet.bench.measure import random_weights
from wavenet.config import loading
from wavenet.engines.gpu.compilation import reporting
from wavenet.engines.gpu.network import Network
from wavenet.engines.gpu.triton_engine import (
    compile_options,
    kernel_sizes,
    kernel_weights,
    padded_channels,
)
from wavenet.engines.gpu.triton_kernels import advance

TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.int32: "*i32"}
# Types of the kernel's parameters after the weights: rings ... frames, times ... top_ps, and then
# steps ... hop.
MEMORY = ["*fp32", "*fp32", "*i64", "*i32", "*fp32", "*fp32"]
MEMORY += ["*i32", "*i32", "*fp32", "*i32", "*fp32"]
NUMBERS = ["i32"] * 3
# A constant that a Gaussian mixture's cosine reads for large angles.
COSINE_TABLE = "__cudart_i2opi_f"


@dataclass(frozen=True)
class Target:
    """What is compiled, and for which GPU: `capability` 90 is sm_90.

    `settings` are the preset's that differ, and `prefetch` is as in `kernel_sizes`.
    """

    preset: str
    precision: str
    capability: int
    settings: dict[str, Any] = field(default_factory=dict)
    prefetch: int = 1


def compiled(target: Target) -> Any:
    """The kernel as Triton's `CompiledKernel`."""
    loaded = loading.load(target.preset, target.settings)
    network = Network(
        loaded.model,
        random_weights(loaded),
        torch.device("cpu"),
        torch.float32,
        precision=target.precision,
        width=padded_channels,
    )
    weights = kernel_weights(network, target.precision)
    sizes = kernel_sizes(network, target.prefetch)
    pointers = [TYPES[w.dtype] for w in weights] + MEMORY
    arguments = dict(zip(advance.arg_names, pointers + NUMBERS, strict=False))
    signature = arguments | dict.fromkeys(sizes, "constexpr")
    aligned = {(i,): [["tt.divisibility", 16]] for i in range(len(pointers))}
    source = ASTSource(advance, signature, sizes, aligned)
    gpu = GPUTarget("cuda", target.capability, 32)
    return triton.compile(source, target=gpu, options=compile_options(network))


def report(target: Target) -> dict[str, Any]:
    """What there is to check, for JSON."""
    told: list[str] = []
    with reporting(told.append):
        kernel = compiled(target)
    told_again: list[str] = []
    with reporting(told_again.append):
        compiled(target)
    ptx, ttgir = kernel.asm["ptx"], kernel.asm["ttgir"]
    # The loop over time; after it, the last code is stored.
    loop = ttgir[ttgir.index("scf.for") :]
    loop = loop[: loop.rindex("scf.yield")]
    between_barriers = re.split(r"(?:ttg|gpu)\.barrier", loop)
    arch = re.findall(r"\.target (\w+)", ptx)[0]
    return {
        "arch": arch,
        "stores_between_barriers": [part.count("tt.store") for part in between_barriers],
        # Of the loop over layers, which ends at the first barrier.
        "loads_of_layers": between_barriers[0].count("tt.load"),
        "copies_ahead": between_barriers[0].count("ttg.async_copy_global_to_local"),
        "barriers_in_ptx": len(re.findall(r"\bbar(?:rier)?(?:\.cta)?\.sync", ptx)),
        "cp_async_in_ptx": len(re.findall(r"\bcp\.async\.c[ag]\b", ptx)),
        "reads_past_the_cache": reads_past_the_cache(ptx),
        "shared_bytes": kernel.metadata.shared,
        "told": told,
        "told_again": told_again,
        **ptxas_report(ptx, arch, target.capability),
    }


def reads_past_the_cache(ptx: str) -> bool:
    """Whether ld.global.nc, which need not see what the kernel has written, loads what may change.

    The cosine's table never does. An address is followed from the table's through sums.
    """
    of_table = {COSINE_TABLE}
    for line in ptx.splitlines():
        if made := re.match(r"\s*(?:mov|add)\.\w+\s+(%\w+), ([\w%]+)", line):
            (of_table.add if made[2] in of_table else of_table.discard)(made[1])
        loaded = re.search(r"\bld\.global\.nc\b[^[]*\[([\w%]+)", line)
        if loaded and loaded[1] not in of_table:
            return True
    return False


def ptxas_report(ptx: str, arch: str, capability: int) -> dict[str, int]:
    """A thread's registers, and the bytes that they had no room for."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx, encoding="utf-8")
        command = [get_ptxas(capability).path, "-v", f"--gpu-name={arch}", source]
        command += ["-o", source.with_suffix(".cubin")]
        messages = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return {
        "registers": int(re.findall(r"Used (\d+) registers", messages)[0]),
        "spilled_bytes": int(re.findall(r"(\d+) bytes spill stores", messages)[0]),
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(report(Target(*json.loads(line)))), flush=True)
