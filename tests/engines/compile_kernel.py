"""Compiles the kernel of a preset for a GPU that is not here.

Prints, as JSON, what there is to check in the compiled code.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource

from wavenet.bench.measure import random_weights
from wavenet.config import loading
from wavenet.engines.gpu.network import Network
from wavenet.engines.gpu.triton_engine import (
    compile_options,
    kernel_sizes,
    kernel_weights,
    padded_channels,
)
from wavenet.engines.gpu.triton_kernels import advance

TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.int32: "*i32"}
# Types of the kernel's parameters after the weights: rings ... frames, then time ... top_p.
MEMORY = ["*fp32", "*fp32", "*i64", "*i32", "*fp32", "*fp32"]
NUMBERS = ["i32"] * 5 + ["fp32", "i32", "fp32"]


def compiled(preset: str, precision: str, capability: int) -> dict[str, Any]:
    """The kernel in every language that it is compiled through."""
    loaded = loading.load(preset)
    weights, cpu = random_weights(loaded), torch.device("cpu")
    network = Network(
        loaded.model, weights, cpu, torch.float32, precision=precision, width=padded_channels
    )
    weights, sizes = kernel_weights(network, precision), kernel_sizes(network)
    pointers = [TYPES[w.dtype] for w in weights] + MEMORY
    arguments = dict(zip(advance.arg_names, pointers + NUMBERS, strict=False))
    signature = arguments | dict.fromkeys(sizes, "constexpr")
    aligned = {(i,): [["tt.divisibility", 16]] for i in range(len(pointers))}
    source = ASTSource(advance, signature, sizes, aligned)
    target = GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options=compile_options(network)).asm


def report(asm: dict[str, Any], capability: int) -> dict[str, Any]:
    ptx, ttgir = asm["ptx"], asm["ttgir"]
    # The loop over time; after it, the last code is stored.
    loop = ttgir[ttgir.index("scf.for") :]
    loop = loop[: loop.rindex("scf.yield")]
    between_barriers = re.split(r"(?:ttg|gpu)\.barrier", loop)
    arch = re.findall(r"\.target (\w+)", ptx)[0]
    return {
        "arch": arch,
        "stores_between_barriers": [part.count("tt.store") for part in between_barriers],
        "barriers_in_ptx": len(re.findall(r"\bbar(?:rier)?(?:\.cta)?\.sync", ptx)),
        "reads_past_the_cache": "ld.global.nc" in ptx,
        "spilled_bytes": spilled(ptx, arch, capability),
    }


def spilled(ptx: str, arch: str, capability: int) -> int:
    """Bytes of a thread that its registers had no room for."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx, encoding="utf-8")
        command = [get_ptxas(capability).path, "-v", f"--gpu-name={arch}", source]
        command += ["-o", source.with_suffix(".cubin")]
        messages = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return int(re.findall(r"(\d+) bytes spill stores", messages)[0])


if __name__ == "__main__":
    preset, precision, capability = json.loads(sys.argv[1])
    print(json.dumps(report(compiled(preset, precision, capability), capability)))
