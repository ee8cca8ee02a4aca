"""Several processes that train one model: the same as one, and what becomes of them when something goes wrong."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.conftest import noisy
from tests.together import DYING, Pair, free_port, torchrun
from wavenet import checkpoint, processes
from wavenet.config import Config
from wavenet.corpus import Corpus
from wavenet.errors import RunError
from wavenet.pcm_cache import index_folder
from wavenet.processes import Processes, Together
from wavenet.run import Run
from wavenet.session import Report, Request, train

HOST = re.escape(socket.gethostname())
SETTINGS = ("train.batch=5", "train.accumulate=2", "train.segment_seconds=0.3", "train.evaluate_every=6", "train.learning_rate=1e-3")


@pytest.fixture
def command(training_folder: Path, config_file: Path, tmp_path: Path) -> list[object]:
    """`wavenet train` with five windows of which some are short, so that processes differ in how much of theirs counts."""
    settings = [word for s in SETTINGS for word in ("--set", s)]
    return ["train", training_folder, "-c", config_file, "--cache", tmp_path / "cache", *settings]


@pytest.fixture
def alone(training_folder: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Run]]:
    """The same in this process, in one thread."""
    monkeypatch.setattr("wavenet.session.LOG_EVERY", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(out: Path, steps: int, stop_at: int | None = None) -> Run:
        settings = (*SETTINGS, f"train.steps={steps}")
        return train(Request(training_folder, str(config_file), settings, out, stop_at, cache=tmp_path / "cache"), Report())

    yield run
    torch.set_num_threads(threads)


def finished(started: Any) -> tuple[int, str, str]:
    out, err = started.communicate(timeout=200)
    return started.returncode, out, err


def lines(err: str) -> list[str]:
    """What `wavenet` itself said."""
    return [line for line in re.split("[\r\n]+", err) if line.startswith("wavenet: ")]


def assert_alike(a: Run, b: Run, step: int) -> None:
    """The same checkpoint and curve up to rounding."""
    one, other = (load_file(checkpoint.step_path(run.checkpoints, step)) for run in (a, b))
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-6, err_msg=name)
    curves = [[(m["step"], m.get("train_bits"), m.get("validation_bits")) for m in run.metrics() if m["step"] <= step] for run in (a, b)]
    assert len(curves[0]) == len(curves[1]) == step + step // 6  # every step's loss, every sixth's validation
    for x, y in zip(*curves, strict=True):
        assert x == pytest.approx(y, abs=2e-5)


def findings(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"rank-{r}.json").read_text()) for r in (0, 1)]


def test_two_processes_learn_as_one_does_and_either_goes_on_from_the_other(
    command: list[object], alone: Callable[..., Run], tmp_path: Path
) -> None:
    whole, shared = alone(tmp_path / "whole", 18), tmp_path / "shared"
    code, out, err = finished(torchrun(*command, "-o", shared, "--steps", 18, "--stop-at", 6, watched=tmp_path))
    assert code == 0, err
    assert out.count("recordings ") == out.count("step      6  validation") == 1
    assert "in each of 2 processes" in out
    assert_alike(whole, Run(shared), 6)
    first, second = findings(tmp_path)
    assert first["state"] == second["state"]  # bit for bit: weights, their average, Adam's moments
    assert (first["step"], first["bits"]) == (second["step"], second["bits"])
    assert any(str(shared) in path for path in first["written"])
    assert not any(str(shared) in path for path in second["written"])
    assert_alike(whole, alone(shared, 18, 12), 12)
    pair = Pair(tmp_path / "pair", *command, "-o", shared, "--steps", 18)
    (code, out, err), *others = pair.wait()
    assert code == 0, err
    assert "resuming" in out
    assert others == [(0, "", "")]
    assert_alike(whole, Run(shared), 18)
    first, second = findings(tmp_path / "pair")
    assert first["state"] == second["state"]


def test_a_process_that_is_killed_is_named_and_torchrun_goes_on(command: list[object], alone: Callable[..., Run], tmp_path: Path) -> None:
    out = tmp_path / "run"
    how = ("--standalone", "--max-restarts=1")
    started = torchrun(*command, "-o", out, "--steps", 18, watched=tmp_path, how=how, **{DYING: "1:14"})
    code, said, err = finished(started)
    assert code == 0, err
    assert len(lines(err)) == 1, err
    assert re.fullmatch(
        rf"wavenet: process 1 of 2 \({HOST}\) ended; the last checkpoint is of step 12. Go on with the same command", lines(err)[0]
    )
    assert f"resuming {out} at step 12" in said
    assert said.count("done. Hear it with") == 1
    assert_alike(alone(tmp_path / "whole", 18), Run(out), 18)


def test_shares_are_the_batch(training_folder: Path, small_config: Config) -> None:
    index = index_folder(training_folder, small_config.audio, trim=small_config.trims)
    corpus = Corpus(index, small_config, small_config.model.receptive_field)
    whole, *shares = corpus.batch(3), *(corpus.batch(3, rank, 2) for rank in (0, 1))
    assert [len(share.x) for share in shares] == [2, 1]
    assert (np.concatenate([shares[0].x, shares[1].x])[[0, 2, 1]] == whole.x).all()
    assert {share.whole for share in shares} == {int(whole.counts.sum())}
    scored = [sum(b.counts.sum() for b in corpus.validation_batches(rank, ranks)) for rank, ranks in ((0, 1), (0, 2), (1, 2))]
    assert scored[0] == scored[1] + scored[2]
    assert min(scored) > 0
