"""`wavenet bench`: what it measures, not how fast."""

import importlib.util
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import SMALL
from wavenet import engines
from wavenet.bench import measure
from wavenet.bench.eager_baseline import EagerStep
from wavenet.bench.roofline import Roofline, sample_bytes, sample_macs
from wavenet.cli import bench
from wavenet.config import AudioConfig, Config, ModelConfig
from wavenet.engines.reference import ReferenceEngine
from wavenet.generation.noise import noise_for
from wavenet.model.cost import model_cost
from wavenet.model.distributions.base import Sampling

CONFIG = Config(audio=AudioConfig(sample_rate=8000), model=SMALL)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "ROUNDS", 2)
    monkeypatch.setattr(measure, "SECONDS", 0.005)
    monkeypatch.setattr(measure, "WARM_UP", 64)
    monkeypatch.setattr(measure, "cores", lambda: 2)
    monkeypatch.setattr(engines, "nvidia", lambda: False)


def measured_rows() -> list[dict[str, object]]:
    (line,) = bench.bench("small", CONFIG, True, lambda _line: None)
    rows: list[dict[str, object]] = json.loads(line)
    return rows


def test_every_engine_precision_batch_and_thread_count_has_a_row() -> None:
    rows = measured_rows()
    for row in rows:
        assert row.keys() >= {
            "engine",
            "precision",
            "threads",
            "batch",
            "samples_per_second",
            "realtime",
        }
        assert isinstance(row["samples_per_second"], float)
        assert row["samples_per_second"] > 0
        assert row["realtime"] == pytest.approx(row["samples_per_second"] / 8000)
    keys = {(r["engine"], r["precision"], r["threads"], r["batch"]) for r in rows}
    assert len(keys) == len(rows)
    assert keys >= {("numba", p, t, b) for p in ("fp32", "bf16") for t in (1, 2) for b in (1, 16)}
    assert keys >= {
        ("eager PyTorch", "fp32", 1, 1),
        ("eager PyTorch", "fp32", 1, 16),
        ("reference", "fp32", 1, 1),
    }
    for row in rows:
        assert (row["bound"] is not None) == (row["engine"] == "numba")
        assert row["times_eager"] is not None
        assert row["engine"] != "eager PyTorch" or row["times_eager"] == 1


def test_the_table_names_the_machine_and_the_model() -> None:
    head, about, columns, *table = bench.bench("small", CONFIG, False, lambda _line: None)
    assert re.search("cores?, Python 3", head)
    assert "numba" in head
    assert about.startswith("small: ")
    assert "x real time" in columns
    assert len(table) == 11
    assert all(len(line) == len(columns) for line in table)


def test_without_torch_the_engines_are_measured_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find_spec(name)
    )
    rows = measured_rows()
    assert {r["engine"] for r in rows} == {"numba", "reference"}
    assert all(r["times_eager"] is None for r in rows)


def test_without_numba_the_reference_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wavenet.engines.cpu.numba_engine", None)
    said: list[str] = []
    (line,) = bench.bench("small", CONFIG, True, said.append)
    assert {r["engine"] for r in json.loads(line)} == {"eager PyTorch", "reference"}
    assert "--engine numba: cannot be loaded" in said[0]


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with a GPU, whose part Triton's interpreter plays here, slowly."""
    pytest.importorskip("triton")
    monkeypatch.setattr(engines, "nvidia", lambda: True)
    monkeypatch.setattr(measure, "GPU_BATCHES", (1, 2))
    monkeypatch.setattr(measure, "WARM_UP", 2)
    monkeypatch.setattr(measure, "ROUNDS", 1)
    first = measure.Case.__init__

    def two_samples(
        self: measure.Case, row: measure.Row, run: Any, n_noise: int, chunk: int = 2
    ) -> None:
        first(self, row, run, n_noise, chunk)

    monkeypatch.setattr(measure.Case, "__init__", two_samples)


@pytest.mark.usefixtures("on_gpu")
def test_with_a_gpu_its_engines_have_rows_beside_an_eager_step_on_it() -> None:
    rows = measured_rows()
    keys = {(r["engine"], r["precision"], r["threads"], r["batch"]) for r in rows}
    assert keys >= {("triton", p, 0, b) for p in ("fp32", "bf16") for b in (1, 2)}
    assert keys >= {(name, "fp32", 0, b) for name in ("cuda-graph", "eager on GPU") for b in (1, 2)}
    assert keys >= {("eager PyTorch", "fp32", 1, 16), ("numba", "fp32", 1, 16)}
    assert all(r["times_eager"] is not None for r in rows)
    assert {r["times_eager"] for r in rows if r["engine"] == "eager on GPU"} == {1}
    row = next(r for r in rows if r["engine"] == "triton")
    assert " GPU " in bench.line(measure.Row(**row))  # type: ignore[arg-type]


@pytest.mark.usefixtures("on_gpu")
def test_the_script_for_gpus_stands_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of benchmarks/gpu.py but the suite, on a model that an interpreter can run."""
    script = Path(__file__).parent.parent / "benchmarks" / "gpu.py"
    spec = importlib.util.spec_from_file_location("gpu", script)
    assert spec
    assert spec.loader
    gpu = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gpu)
    monkeypatch.setattr(gpu, "SECONDS", 0.0005)
    monkeypatch.setattr(gpu, "MOST_STREAMS", 2)
    tiny = replace(CONFIG, name="tiny", model=replace(SMALL, layers=2, dilation_cycle=2))
    conditioned = replace(
        tiny,
        name="mel",
        model=replace(tiny.model, mel_bands=6, mel_hop=8, mel_window=32, mel_high_hz=4000.0),
    )
    lines = "\n".join(gpu.figures([tiny, conditioned], [tiny])).splitlines()
    assert [line.split()[:2] for line in lines if line.startswith(("tiny   ", "mel   "))] == [
        ["tiny", "eager"], ["tiny", "triton"], ["tiny", "triton"], ["tiny", "cuda-graph"],
        ["mel", "triton"], ["mel", "triton"], ["mel", "cuda-graph"],
        ["tiny", "8000"], ["tiny", "8000"],
    ]  # fmt: skip
    assert any(
        line.startswith("tiny, bf16, times eager on GPU") and line.split()[-1] == "100"
        for line in lines
    )
    assert any(line.startswith("mel, fp32, times real time") for line in lines)
    assert gpu.most_streams(lambda batch: batch <= 137, 4096) in range(130, 138)
    assert gpu.most_streams(lambda _: False, 64) == 0
    assert gpu.most_streams(lambda _: True, 64) == 64


@pytest.mark.parametrize("output", ["mulaw", "logistic", "gaussian"])
def test_the_eager_step_draws_what_the_reference_draws(output: str) -> None:
    """What speed is compared with computes the same thing.

    It does so in float32, where a 16-bit sample may come out a step away.
    """
    model = replace(SMALL, output=output)
    weights = measure.random_weights(replace(CONFIG, model=model))
    reference = ReferenceEngine(model, weights)
    noise = noise_for(0, range(3), 0, 40, reference.distribution.n_noise)
    state = reference.init_state(3)
    eager = EagerStep(model, weights, 3)
    for layer, ring in zip(eager.layers, state[0].rings, strict=True):
        # It starts in silence, not in zeros.
        layer.queue[:] = layer.queue.new_tensor(ring[0])
    expected = reference.generate(state, noise, Sampling())
    drawn = np.array([eager.run(noise[:, t : t + 1]).tolist() for t in range(40)])
    assert np.abs(drawn - expected.T).max() <= (3 if reference.distribution.scalar_input else 0)
    assert len(np.unique(drawn)) > 5


def test_a_mixture_is_measured_too() -> None:
    config = replace(CONFIG, model=replace(SMALL, output="logistic"))
    (line,) = bench.bench("small", config, True, lambda _line: None)
    assert {r["engine"] for r in json.loads(line)} == {"eager PyTorch", "numba", "reference"}


def test_bounds_follow_from_bytes_and_products() -> None:
    macs = model_cost(SMALL, 8000).macs_per_sample
    # Padding is multiplied too.
    assert macs < sample_macs(SMALL)
    assert sample_bytes(SMALL, "fp32") == 2 * sample_bytes(SMALL, "bf16")
    slow_memory = Roofline({"fp32": 1e6, "bf16": 1e6}, 1e15)
    one = slow_memory.bound(SMALL, "fp32", 1, 1)
    assert one == pytest.approx(1e6 / sample_bytes(SMALL, "fp32"))
    assert slow_memory.bound(SMALL, "fp32", 1, 2) == pytest.approx(2 * one)
    assert slow_memory.bound(SMALL, "bf16", 16, 2) == pytest.approx(32 * one)
    slow_arithmetic = Roofline({"fp32": 1e15, "bf16": 1e15}, 1e6)
    assert slow_arithmetic.bound(SMALL, "bf16", 16, 2) == pytest.approx(2e6 / sample_macs(SMALL))


@pytest.mark.parametrize(
    "model", [replace(SMALL, layer="separable"), replace(SMALL, context="pyramid")]
)
def test_an_eager_step_of_another_pattern_is_left_out_by_name(model: ModelConfig) -> None:
    lines: list[str] = []
    cases = measure.cases(Config(model=model), lines.append, ["numba", "reference"])
    assert lines[0] == "eager PyTorch: left out, its step knows dense layers and no context module"
    assert {c.row.engine for c in cases} == {"numba", "reference"}
