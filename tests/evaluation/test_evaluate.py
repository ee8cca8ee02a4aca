"""`wavenet evaluate`: every scorer gives the same exact figure."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import (
    CONDITIONED,
    SMALL,
    VOCODER,
    as_checkpoint,
    network,
    noisy,
    tone,
    train_run,
    wavenet,
    write_recordings,
)
from wavenet.audio.quantization import encode
from wavenet.config import ModelConfig
from wavenet.engines.options import EngineOptions
from wavenet.engines.reference import ReferenceEngine
from wavenet.evaluation import likelihood, scorers
from wavenet.evaluation.copy_synthesis import resynthesize
from wavenet.model import checkpoint, locate
from wavenet.model.distributions.categorical import Categorical

WAVS = {"a.wav": tone(1.2), "b/b.wav": noisy(0.4)}
SAMPLES = 9600 + 3200


def saved(path: Path, config: ModelConfig) -> Path:
    checkpoint.save(path, as_checkpoint(network(config), step=7))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("model") / "model.safetensors", SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wavs = WAVS | {"silent.wav": np.zeros(8000)}
    return write_recordings(tmp_path_factory.mktemp("scored"), wavs)


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings to train on, one of which is too short for `tails`."""
    wavs = {f"{i}.wav": tone(1.1, hertz=150 + 40 * i) for i in range(4)}
    return write_recordings(tmp_path_factory.mktemp("five"), wavs | {"short.wav": noisy(0.2)})


def scored(*args: object) -> dict[str, Any]:
    result = wavenet("evaluate", *args, "--json")
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def printed(*args: object) -> str:
    return wavenet("evaluate", *args).stdout


@pytest.mark.parametrize("config", [SMALL, *CONDITIONED.values()], ids=["plain", *CONDITIONED])
def test_every_scorer_gives_the_same_bits_in_any_blocks(
    config: ModelConfig, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saved(tmp_path / "model.safetensors", config)
    options = ["--vocoded", 0, *(["--label", "bob"] if config.labels else [])]
    whole, tail = scored(model, folder, *options), scored(model, folder, *options, "--split=tails")
    assert (whole["samples"], tail["samples"]) == (SAMPLES, 960)
    monkeypatch.setattr(scorers, "PREFILL_SAMPLES", 64)
    for expected, split, engine, block in (
        (whole, "all", "parallel", 1000),
        (whole, "all", "numba", 1 << 15),
        (tail, "tails", "numba", 777),
        (tail, "tails", "reference", 500),
    ):
        monkeypatch.setattr(likelihood, "BLOCK_SAMPLES", block)
        other = scored(model, folder, *options, "--split", split, "--engine", engine)
        assert other["bits_per_sample"] == pytest.approx(expected["bits_per_sample"], rel=1e-6)
        for key in ("unigram_bits", "bigram_bits", "lpc_bits"):
            assert other[key] == pytest.approx(expected[key], rel=1e-9), key


def test_bits_are_those_of_the_naive_prediction(model: Path, folder: Path) -> None:
    """One file, sample by sample from a fresh start, by the specification's own engine."""
    x = encode(np.round(WAVS["b/b.wav"] * 32768) / 32768, SMALL.levels)
    engine = ReferenceEngine(SMALL, checkpoint.load(model).weights)
    params = engine.prefill(engine.init_state(1), x[None])[0].astype(np.float64)
    p = np.exp(params) / np.exp(params).sum(axis=1, keepdims=True)
    bits = -np.log2(p[np.arange(len(x)), x]).mean()
    of_file = {file["file"]: file["bits_per_sample"] for file in scored(model, folder)["files"]}
    assert of_file["b/b.wav"] == pytest.approx(bits, rel=1e-4)


@pytest.mark.parametrize("output", ["logistic", "gaussian"])
def test_mixtures_are_scored_alike_by_every_scorer(
    output: str, folder: Path, tmp_path: Path
) -> None:
    model = saved(tmp_path / "m.safetensors", replace(SMALL, output=output, mixtures=3))
    parallel = scored(model, folder)
    by_engine = scored(model, folder, "--engine", "numba")
    assert by_engine["bits_per_sample"] == pytest.approx(parallel["bits_per_sample"], rel=1e-5)
    assert parallel["bits_per_16bit_sample"] == parallel["bits_per_sample"]
    lines = [line for line in printed(model, folder).splitlines() if "16-bit" in line]
    assert len(lines) == 1
    assert f" bits per 16-bit sample over {SAMPLES:,} samples" in lines[0]


def test_mulaw_is_also_reported_per_16_bit_sample(model: Path, folder: Path) -> None:
    report = scored(model, folder)
    d = Categorical(SMALL.levels)
    wavs = [np.round(wav * 32768) / 32768 for wav in WAVS.values()]
    bits_to_16bit = np.concatenate([d.bits_to_16bit(d.encode(wav)) for wav in wavs]).mean()
    bits = report["bits_per_16bit_sample"]
    assert bits == pytest.approx(report["bits_per_sample"] + bits_to_16bit, rel=1e-4)
    expected = f"{bits:.3f} bits per 16-bit sample, with those of one level alike"
    assert expected in printed(model, folder)


def test_files_add_up_to_the_total(model: Path, folder: Path) -> None:
    report = scored(model, folder)
    files = report["files"]
    assert [file["file"] for file in files] == list(WAVS)
    bits = sum(file["samples"] * file["bits_per_sample"] for file in files)
    mean = bits / sum(file["samples"] for file in files)
    assert report["bits_per_sample"] == pytest.approx(mean, rel=1e-9)
    assert report["skipped"] == [{"file": "silent.wav", "reason": "silent: nothing but zeros"}]


def test_tails_are_what_a_run_validates_on(five: Path, config_file: Path, tmp_path: Path) -> None:
    settings = ("train.validation=tails", "train.steps=5")
    run = train_run(five, tmp_path / "run", *settings, config=str(config_file))[0].folder
    best = checkpoint.load(locate.find(run)).training.best_bits
    report = scored(run, five, "--split", "tails")
    assert report["bits_per_sample"] == pytest.approx(best, rel=1e-5)
    assert report["samples"] == 4 * 880
    text = printed(run, five, "--split", "tails")
    assert "1 recording of 1 s or less left out" in text
    assert "the last tenth of each, after hearing the rest" in text
    assert "trained on" not in text
    for model in (run, locate.find(run)):
        assert "was trained on 4 of these recordings" in printed(model, five)


def test_training_lowers_the_figure_below_guessing(
    five: Path, config_file: Path, tmp_path: Path
) -> None:
    """And what was held out does not count as trained on."""
    settings = ("train.steps=100", "train.learning_rate=2e-2", "train.evaluate_every=100")
    run, _ = train_run(five, tmp_path / "run", *settings, config=str(config_file))
    report = scored(run.folder, five)
    assert report["bits_per_sample"] < report["unigram_bits"] - 0.5
    assert report["unigram_bits"] < math.log2(SMALL.levels)
    held_out = len(run.corpus()["held_out"])
    assert held_out
    assert f"was trained on {5 - held_out} of these recordings" in printed(run.folder, five)


def test_copies_by_a_vocoder_are_compared_with_those_by_griffin_lim(
    folder: Path, tmp_path: Path
) -> None:
    model = saved(tmp_path / "model.safetensors", VOCODER)
    copies = scored(model, folder / "b", "--vocoded", 1)["vocoded"]
    assert (copies["recordings"], copies["seconds"]) == (1, 0.4)
    assert copies["griffin_lim"]["spectral_convergence"] > 0
    assert copies["model"]["mel_db"] > copies["griffin_lim"]["mel_db"] > 0
    rows = printed(model, folder / "b", "--vocoded", 1).splitlines()[-5:]
    assert f" {copies['model']['mel_db']:.2f} " in "\n".join(rows)


def test_progress_counts_every_sample_of_a_copy() -> None:
    recordings = [((32767 * wav).astype(np.int16), 0) for wav in (tone(0.1), tone(0.3))]
    counted: list[int] = []
    model = as_checkpoint(network(VOCODER))
    resynthesize(model, recordings, "numba", EngineOptions(), counted.append)
    assert sum(counted) == 800 + 2400
