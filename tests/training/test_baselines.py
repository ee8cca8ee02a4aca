"""What is reached without a network is counted once for a run, and never ends one."""

from pathlib import Path

import pytest

from tests.helpers import train_run
from wavenet.training.run_folder import Run


def test_a_run_knows_what_is_reached_without_a_network(
    training_folder: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(stop_at: int) -> Run:
        run, _ = train_run(
            training_folder, tmp_path / "out", config=str(config_file), stop_at=stop_at
        )
        return run

    run = start(5)
    baselines = run.corpus()["baselines"]
    assert 0 < baselines["bigram_bits"] < baselines["unigram_bits"] < 9

    def fail(corpus: object) -> None:
        raise MemoryError

    # They are counted once, and are no reason to end a training.
    monkeypatch.setattr("wavenet.data.statistics.held_out_baselines", fail)
    start(6)
    assert run.corpus()["baselines"] == baselines
    text = (run.folder / "corpus.json").read_text().replace("baselines", "former")
    (run.folder / "corpus.json").write_text(text)
    start(7)
    assert run.corpus()["baselines"] == {}
    assert run.metrics()[-1]["step"] == 7
