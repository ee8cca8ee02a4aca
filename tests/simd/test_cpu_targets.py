"""Every kind of machine that this one can pretend to be; and machine code that is out of date."""

import ast
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wavenet.engines.cpu import kernels as engine_kernels
from wavenet.engines.cpu import pipeline
from wavenet.errors import EngineError
from wavenet.model.cpu_stack import backward, forward
from wavenet.simd import cpu_features
from wavenet.simd.compiled import sources
from wavenet.simd.cpu_features import Host, host

PACKAGE = Path(__file__).parent.parent.parent / "wavenet"
AVX2 = (
    "+64bit,+adx,+avx,+avx2,+bmi,+bmi2,+cmov,+cx16,+f16c,+fma,+fxsr,+lzcnt,+mmx,+movbe,+popcnt,"
    "+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3"
)
ENGINE = """
import numpy as np
from wavenet.config import ModelConfig
from wavenet.engines.cpu.numba_engine import NumbaEngine
from wavenet.engines.options import EngineOptions
from wavenet.engines.reference import ReferenceEngine
from wavenet.bench.measure import random_weights
from wavenet.config import Config

for output in ("logistic", "mulaw"):
    model = ModelConfig(
        dilations=(1, 3, 9, 16), kernel_size=3, residual_channels=19, gate_channels=70,
        skip_channels=37, head_channels=65, levels=64, output=output,
    )
    weights = random_weights(Config(model=model))
    weights["output.weight"] *= 8
    engine = NumbaEngine(model, weights, EngineOptions(threads=1))
    reference = ReferenceEngine(model, weights)
    x = np.random.default_rng(0).integers(0, engine.distribution.levels, (6, 500))
    params = engine.prefill(engine.init_state(6), x)
    expected = reference.prefill(reference.init_state(6), x)
    assert expected.std() > 0.3
    assert np.abs(params - expected).max() < 2e-5, np.abs(params - expected).max()
    alone = engine.prefill(engine.init_state(1), x[3:4])
    assert (alone[0] == params[3]).all()
print(engine.describe(1))
"""


STACK = """
import torch
from wavenet.config import ModelConfig
from wavenet.model.network import WaveNetStack
from wavenet.model.stack_shape import IN_MACHINE_CODE

torch.set_num_threads(2)
stack = WaveNetStack(ModelConfig(
    dilations=(1, 3, 9, 16), kernel_size=3, residual_channels=19, gate_channels=70,
    skip_channels=37,
))
x = torch.randn(3, 19, stack.receptive_field + 300, generator=torch.Generator().manual_seed(0))
found = []
for precise in (True, False):
    stack, x = (stack.double(), x.double()) if precise else (stack.float(), x.float())
    stack.form = None if precise else IN_MACHINE_CODE
    stack.zero_grad()
    skips = stack(x)
    skips.square().sum().backward()
    found.append([skips.detach(), *(p.grad for p in stack.parameters())])
for exact, fast in zip(*found, strict=True):
    assert (fast - exact).abs().max() < 1e-5 * exact.abs().max()
print("same")
"""


def run(code: str, where: Path = PACKAGE.parent, **environment: str) -> str:
    command, env = [sys.executable, "-c", code], os.environ | environment
    done = subprocess.run(command, cwd=where, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Each compiles the whole engine.
@pytest.mark.slow
@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="pretends to be other x86-64 machines"
)
@pytest.mark.parametrize(
    ("name", "features", "described"),
    [
        ("haswell", AVX2, "numba engine (AVX2, fp32, 1 thread)"),
        (
            "x86-64",
            "",
            "numba engine (SSE2, fp32, 1 thread; no fused multiply-add here, "
            "so slower than it could be)",
        ),
    ],
)
def test_other_machines_compute_the_same(
    name: str, features: str, described: str, tmp_path: Path
) -> None:
    environment = {
        "NUMBA_CPU_NAME": name,
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    assert run(ENGINE + STACK, **environment).splitlines() == [described, "same"]


@pytest.mark.slow
def test_vectors_of_another_width_compute_the_same(tmp_path: Path) -> None:
    other = 8 if host().lanes != 8 else 4
    environment = {"WAVENET_LANES": str(other), "NUMBA_CACHE_DIR": str(tmp_path)}
    described, compared = run(ENGINE + STACK, **environment).splitlines()
    assert f"{other} lanes" in described
    assert compared == "same"


def test_the_host_is_read_from_its_features(monkeypatch: pytest.MonkeyPatch) -> None:
    host_for = cpu_features._host_for
    assert host_for("x86_64", {"avx2", "fma", "avx512f", "avx512vl", "avx512dq"}).lanes == 16
    assert host_for("x86_64", {"avx2", "fma"}) == Host(8, True, 4, "AVX2")
    assert host_for("amd64", {"avx2"}) == Host(4, False, 4, "SSE2")
    assert host_for("arm64", set()) == Host(4, True, 8, "NEON")
    assert not host_for("riscv64", set()).fused
    monkeypatch.setenv("NUMBA_CPU_NAME", "x86-64")
    monkeypatch.delenv("NUMBA_CPU_FEATURES", raising=False)
    assert cpu_features._features() == set()
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+avx2,+fma,-avx512f")
    assert cpu_features._features() == {"avx2", "fma"}
    monkeypatch.setenv("WAVENET_LANES", "7")
    with pytest.raises(EngineError, match="WAVENET_LANES=7: must be 4, 8 or 16"):
        host()


KERNEL = """
import numpy as np
from wavenet.simd.compiled import compiled, reporting
from wavenet.simd.vectors import scale
from wavenet.simd.writer import LANES, at

def double(x, y):
    scale(at(x, 0), np.float32(2), at(y, 0), 1)

lines, x, y = [], np.ones(LANES, np.float32), np.zeros(LANES, np.float32)
with reporting(lines.append):
    compiled(double)(x, y)
print(len(lines), y[0])
"""


def test_compiled_code_is_kept_until_any_kernel_source_changes(tmp_path: Path) -> None:
    """The edited file is not the kernel's own: numba alone would go on with the old code."""
    shutil.copytree(PACKAGE, tmp_path / "wavenet", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "kernel.py").write_text(KERNEL, encoding="utf-8")
    paths = {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    # The two lines say that it compiles, and how long that took.
    assert run("import kernel", tmp_path, **paths).split() == ["2", "2.0"]
    assert run("import kernel", tmp_path, **paths).split() == ["0", "2.0"]
    source = tmp_path / "wavenet" / "simd" / "vectors.py"
    text = source.read_text(encoding="utf-8")
    edited = text.replace("w.builder.fmul(factor, x)", "w.builder.fadd(factor, x)")
    assert edited != text
    source.write_text(edited, encoding="utf-8")
    assert run("import kernel", tmp_path, **paths).split() == ["2", "3.0"]


@pytest.mark.parametrize(
    "module",
    [engine_kernels.__name__, pipeline.__name__, forward.__name__, backward.__name__],
)
def test_every_kernel_source_is_in_the_digest(module: str) -> None:
    """Whatever the modules of kernels import of this program, functions as well as numbers."""
    files = sources(module)
    packages = ("wavenet.engines.cpu.", "wavenet.model.cpu_stack.", "wavenet.simd.")
    kernels = [path for name, path in files.items() if name.startswith(packages)]
    assert Path(cpu_features.__file__) in kernels
    for path in kernels:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("wavenet"):
                for name in node.names:
                    origins = {node.module, f"{node.module}.{name.name}"}
                    assert origins & files.keys(), f"the digest knows nothing of {origins}"


@pytest.mark.parametrize("command", ["generate", pytest.param("train", marks=pytest.mark.slow)])
def test_without_numbas_compiler_there_is_one_line(
    command: str, training_folder: Path, tmp_path: Path
) -> None:
    given: dict[str, list[object]] = {
        "generate": [PACKAGE.parent / "tests" / "golden" / "format-1.safetensors"],
        "train": [training_folder, "-c", "tiny", "-o", tmp_path / "run", "--cache", tmp_path],
    }
    words = [sys.executable, "-m", "wavenet", command, *map(str, given[command])]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    result = subprocess.run(
        words, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].endswith(
        "wavenet: NUMBA_DISABLE_JIT: is set, and numba compiles the CPU kernels; unset it"
    )
    assert "Traceback" not in result.stderr
