"""What `wavenet bench` measures, not how fast."""

import json
import re
import sys
from dataclasses import asdict

import pytest

from tests.helpers import SMALL, require_triton, wavenet
from wavenet import engines
from wavenet.bench import measure
from wavenet.config import AudioConfig, Config

CONFIG = Config(audio=AudioConfig(sample_rate=8000), model=SMALL)


def measured(config: Config = CONFIG) -> list[measure.Row]:
    return measure.measure(config, measure.cases(config))


def test_every_engine_precision_batch_and_thread_count_has_a_row(hasty: None) -> None:
    rows = measured()
    for row in rows:
        assert row.samples_per_second > 0
        assert row.realtime == pytest.approx(row.samples_per_second / 8000)
    variants = {(p, t, b) for p in ("fp32", "bf16") for t in (1, 2) for b in (1, 16)}
    expected = {("numba", *variant) for variant in variants} | {("reference", "fp32", 1, 1)}
    assert {(r.engine, r.precision, r.threads, r.batch) for r in rows} == expected
    assert len(rows) == len(expected)


@pytest.mark.parametrize("model", [{"output": "logistic"}, {"label_channels": 3, "mel_bands": 6}])
def test_mixtures_and_conditioned_models_are_measured_too(
    hasty: None, model: dict[str, object]
) -> None:
    (case,) = measure.cases(Config(model=type(SMALL)(**model)), names=["reference"])  # type: ignore[arg-type]
    assert case.speed(0.001) > 0


def test_the_table_names_the_machine_and_the_model(hasty: None) -> None:
    head, about, columns, *table = wavenet("bench", "tiny").stdout.splitlines()
    assert re.search("cores?, Python 3", head)
    assert "numba" in head
    assert about.startswith("tiny: ")
    assert "x real time" in columns
    assert len(table) == 9
    assert all(len(line) == len(columns) for line in table)


def test_a_program_gets_the_rows(hasty: None) -> None:
    rows = json.loads(wavenet("bench", "tiny", "--json").stdout)
    assert (
        rows[0].keys() - {"model", "machine"} == asdict(measure.Row("numba", "fp32", 1, 1)).keys()
    )
    assert (rows[0]["model"], "numba" in rows[0]["machine"]) == ("tiny", True)
    assert rows[0]["samples_per_second"] > 0


def test_an_engine_that_cannot_be_loaded_is_reported(
    hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wavenet.engines.cpu.numba_engine", None)
    lines: list[str] = []
    assert [c.row.engine for c in measure.cases(CONFIG, lines.append)] == ["reference"]
    assert "numba" in lines[0]


def test_on_a_gpu_the_engines_of_gpus_have_rows(
    hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triton's interpreter plays the GPU's part, slowly."""
    require_triton()
    monkeypatch.setattr(engines, "nvidia", lambda: True)
    monkeypatch.setattr(measure, "GPU_BATCHES", (1, 2))
    rows = [case.row for case in measure.cases(CONFIG)]
    keys = {(r.engine, r.precision, r.threads, r.batch) for r in rows}
    assert keys >= {("triton", p, 0, b) for p in ("fp32", "bf16") for b in (1, 2)}
    assert keys >= {("cuda-graph", "fp32", 0, b) for b in (1, 2)}
    assert ("numba", "fp32", 1, 16) in keys
