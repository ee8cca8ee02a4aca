"""Every kind of machine that this one can pretend to be; and machine code that is out of date."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wavenet.engines.cpu import cpu_features
from wavenet.engines.cpu.cpu_features import Host, host
from wavenet.errors import EngineError

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

sizes = {
    "kernel_size": 3,
    "residual_channels": 19,
    "gate_channels": 70,
    "skip_channels": 37,
    "head_channels": 65,
    "levels": 64,
}
for output in ("logistic", "mulaw"):
    model = ModelConfig(dilations=(1, 3, 9, 16), output=output, **sizes)
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


def run(code: str, where: Path = PACKAGE.parent, **environment: str) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command,
        cwd=where,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
    assert run(ENGINE, **environment).strip() == described


def test_vectors_of_another_width_compute_the_same(tmp_path: Path) -> None:
    other = 8 if host().lanes != 8 else 4
    assert f"{other} lanes" in run(ENGINE, WAVENET_LANES=str(other), NUMBA_CACHE_DIR=str(tmp_path))


def test_the_host_is_read_from_its_features(monkeypatch: pytest.MonkeyPatch) -> None:
    host_for = cpu_features._host_for
    assert host_for("x86_64", {"avx2", "fma", "avx512f", "avx512vl", "avx512dq"}).lanes == 16
    assert host_for("x86_64", {"avx2", "fma"}) == Host(8, True, 4, "AVX2")
    assert host_for("amd64", {"avx2"}) == Host(4, False, 4, "SSE2")
    assert host_for("arm64", set()) == Host(4, True, 8, "NEON")
    assert not host_for("riscv64", set()).tuned
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
from wavenet.bench.roofline import _multiply, LANES, HOST, INPUTS
from wavenet.engines.cpu.compiled import reporting
lines = []
with reporting(lines.append):
    weights = np.ones(INPUTS * 2 * LANES, np.float32)
    x = np.ones(INPUTS * HOST.rows, np.float32)
    y = np.zeros(2 * LANES * HOST.rows, np.float32)
    _multiply(weights, x, y, 1)
print(len(lines), y[0])
"""


def test_compiled_code_is_kept_until_any_kernel_source_changes(tmp_path: Path) -> None:
    """The edited file is not the kernel's own: numba alone would go on with the old code."""
    shutil.copytree(PACKAGE, tmp_path / "wavenet", ignore=shutil.ignore_patterns("__pycache__"))

    def lines_and_result() -> list[str]:
        return run(
            KERNEL, tmp_path, PYTHONPATH=str(tmp_path), NUMBA_CACHE_DIR=str(tmp_path / "cache")
        ).split()

    # The two lines say that it compiles, and how long that took.
    assert lines_and_result() == ["2", "64.0"]
    assert lines_and_result() == ["0", "64.0"]
    source = tmp_path / "wavenet" / "engines" / "cpu" / "vectors.py"
    text = source.read_text(encoding="utf-8")
    edited = text.replace(
        "w.store(builder.load(sums[r * vectors + v]),",
        "w.store(builder.fmul(w.constant(3), builder.load(sums[r * vectors + v])),",
    )
    assert edited != text
    source.write_text(edited, encoding="utf-8")
    assert lines_and_result() == ["2", "192.0"]


def test_every_kernel_source_is_in_the_digest() -> None:
    """Whatever the modules of kernels take functions or numbers from, as Python itself sees it."""
    from wavenet.engines.cpu import compiled

    names = compiled.sources()
    for name in [n for n in names if n.startswith("wavenet.engines.cpu.")]:
        for value in vars(sys.modules[name]).values():
            origin = getattr(value, "__module__", None) or ""
            if origin.startswith("wavenet."):
                assert origin in names, f"{name} uses {origin}, of which the digest knows nothing"
    # Of this one, kernels use constants.
    assert "wavenet.model.distributions.mixture_mass" in names
