"""`wavenet evaluate`: every scorer gives the same exact figure."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import BOTH, SMALL, VOCODER, VOICES, as_checkpoint, network, noisy, tone
from wavenet.cli import evaluate
from wavenet.config import AudioConfig, Config, ModelConfig
from wavenet.engines.options import EngineOptions
from wavenet.engines.reference import ReferenceEngine
from wavenet.errors import CheckpointError, CorpusError, EngineError, WavenetError
from wavenet.evaluation import likelihood, scorers
from wavenet.evaluation.likelihood import EvaluateOptions
from wavenet.model import checkpoint, locate
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.distributions.categorical import Categorical
from wavenet.training.events import TrainingListener
from wavenet.training.resume import TrainOptions
from wavenet.training.session import train


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, as_checkpoint(network(SMALL), step=7))
    return path


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    return make_folder(
        {
            "a.wav": tone(1.2),
            "b/b.wav": noisy(0.7),
            "long.wav": tone(3.0, hertz=99),
            "silent.wav": np.zeros(8000),
        },
        name="scored",
    )


def everything(model: Path, folder: Path, **more: object) -> dict[str, object]:
    (line,) = evaluate.evaluate(EvaluateOptions(model, folder, **more), as_json=True)  # type: ignore[arg-type]
    report: dict[str, object] = json.loads(line)
    return report


evaluated = everything


@pytest.mark.parametrize("split", ["all", "tails"])
@pytest.mark.parametrize(
    "config", [SMALL, VOICES, VOCODER, BOTH], ids=["nothing", "a label", "mel", "both"]
)
def test_every_scorer_gives_the_same_bits_in_any_blocks(
    config: ModelConfig, split: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, label = tmp_path / "model.safetensors", "bob" if config.labels else None
    checkpoint.save(model, as_checkpoint(network(config)))

    def evaluated(model: Path, folder: Path, **more: object) -> dict[str, object]:
        return everything(model, folder, label=label, split=split, vocoded=0, **more)

    parallel = evaluated(model, folder)
    assert parallel["samples"] == (9600 + 5600 + 24000 if split == "all" else 960 + 2400)
    for engine, block in (
        ("parallel", 1000),
        ("numba", 1 << 15),
        ("numba", 777),
        ("reference", 5000),
    ):
        monkeypatch.setattr(likelihood, "BLOCK_SAMPLES", block)
        monkeypatch.setattr(scorers, "PREFILL_SAMPLES", 64)
        other = evaluated(model, folder, engine=engine)
        assert other["bits_per_sample"] == pytest.approx(parallel["bits_per_sample"], rel=1e-6)
        for key in ("unigram_bits", "bigram_bits", "lpc_bits"):
            assert other[key] == pytest.approx(parallel[key], rel=1e-9), key


def test_bits_are_those_of_the_naive_prediction(model: Path, folder: Path) -> None:
    """One file, sample by sample from a fresh start, by the specification's own engine."""
    files = evaluated(model, folder)["files"]
    loaded = checkpoint.load(model)
    from wavenet.audio.quantization import encode

    x = encode(np.round(noisy(0.7) * 32768) / 32768, SMALL.levels)
    engine = ReferenceEngine(SMALL, loaded.weights)
    params = engine.prefill(engine.init_state(1), x[None])[0].astype(np.float64)
    p = np.exp(params) / np.exp(params).sum(axis=1, keepdims=True)
    bits = -np.log2(p[np.arange(len(x)), x]).mean()
    assert isinstance(files, list)
    by_file = {f["file"]: f["bits_per_sample"] for f in files}
    assert by_file["b/b.wav"] == pytest.approx(bits, rel=1e-4)


@pytest.mark.parametrize("output", ["logistic", "gaussian"])
def test_mixtures_are_scored_alike_by_every_scorer(
    output: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    config = replace(SMALL, output=output, mixtures=3)
    checkpoint.save(path, as_checkpoint(network(config)))
    parallel, by_engine = (evaluated(path, folder, engine=e) for e in ("parallel", "numba"))
    assert by_engine["bits_per_sample"] == pytest.approx(parallel["bits_per_sample"], rel=1e-5)
    assert parallel["bits_per_16bit_sample"] == parallel["bits_per_sample"]
    lines = list(evaluate.evaluate(EvaluateOptions(path, folder)))
    line = [line for line in lines if "bits per" in line][-1]
    assert " bits per 16-bit sample over 39,200 samples" in line
    assert line.count("16-bit") == 1


def test_mulaw_is_also_reported_per_16_bit_sample(model: Path, folder: Path) -> None:
    report = evaluated(model, folder)
    d = Categorical(SMALL.levels)
    wavs = [np.round(w * 32768) / 32768 for w in (tone(1.2), noisy(0.7), tone(3.0, hertz=99))]
    bits_to_16bit = np.concatenate([d.bits_to_16bit(d.encode(w)) for w in wavs]).mean()
    expected = report["bits_per_sample"] + bits_to_16bit  # type: ignore[operator]
    bits = report["bits_per_16bit_sample"]
    assert bits == pytest.approx(expected, rel=1e-4)
    lines = "\n".join(evaluate.evaluate(EvaluateOptions(model, folder)))
    assert f"{bits:.3f} bits per 16-bit sample, with those of one level alike" in lines


def test_files_add_up_to_the_total(model: Path, folder: Path) -> None:
    report = evaluated(model, folder)
    files = report["files"]
    assert isinstance(files, list)
    assert [f["file"] for f in files] == ["a.wav", "b/b.wav", "long.wav"]
    bits = sum(f["samples"] * f["bits_per_sample"] for f in files)
    mean = bits / sum(f["samples"] for f in files)
    assert report["bits_per_sample"] == pytest.approx(mean, rel=1e-9)
    assert report["skipped"] == [{"name": "silent.wav", "reason": "silent: nothing but zeros"}]


def test_tails_are_what_a_run_validates_on(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    settings = ("train.validation=tails",)
    run = train(
        TrainOptions(training_folder, str(config_file), settings, out=tmp_path / "run"),
        TrainingListener(),
    )
    best = checkpoint.load(locate.find(run.folder)).training.best_bits
    report = evaluated(run.folder, training_folder, split="tails")
    assert report["bits_per_sample"] == pytest.approx(best, rel=1e-5)
    # The short recording is left out.
    assert report["samples"] == 5 * 960
    options = EvaluateOptions(run.folder, training_folder, split="tails")
    lines = "\n".join(evaluate.evaluate(options))
    assert "1 recordings of 1 s or less left out" in lines
    assert "the last tenth of each, after hearing the rest" in lines
    assert "trained on" not in lines
    lines = "\n".join(evaluate.evaluate(EvaluateOptions(run.folder, training_folder)))
    assert "was trained on 5 of these recordings" in lines
    file = locate.find(run.folder)
    lines = "\n".join(evaluate.evaluate(EvaluateOptions(file, training_folder)))
    assert "was trained on 5 of these recordings" in lines


def test_held_out_recordings_do_not_count_as_trained_on(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    run = train(
        TrainOptions(training_folder, str(config_file), out=tmp_path / "run"), TrainingListener()
    )
    held_out = len(run.corpus()["held_out"])
    assert held_out
    lines = "\n".join(evaluate.evaluate(EvaluateOptions(run.folder, training_folder)))
    assert f"was trained on {6 - held_out} of these recordings" in lines


def test_training_lowers_the_figure_below_guessing(
    training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    settings = ("train.steps=150", "train.evaluate_every=50", "train.learning_rate=1e-2")
    run = train(
        TrainOptions(training_folder, str(config_file), settings, out=tmp_path / "run"),
        TrainingListener(),
    )
    report = evaluated(run.folder, training_folder)
    assert report["bits_per_sample"] < report["unigram_bits"] - 0.5  # type: ignore[operator]
    assert report["unigram_bits"] < math.log2(SMALL.levels)  # type: ignore[operator]


def test_wrong_requests_are_named(
    model: Path, folder: Path, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    short = make_folder({"s.wav": tone(0.5)}, name="short")
    cases: list[tuple[type[WavenetError], str, EvaluateOptions]] = [
        (CorpusError, "--split tail: must be all", EvaluateOptions(model, folder, split="tail")),
        (
            CorpusError,
            "needs recordings over 1 s; use --split all",
            EvaluateOptions(model, short, split="tails"),
        ),
        (CorpusError, "no such folder", EvaluateOptions(model, tmp_path / "no")),
        (CheckpointError, "no such run or checkpoint", EvaluateOptions(tmp_path / "no", folder)),
        (
            EngineError,
            "--engine warp: unknown; use parallel, auto or one of",
            EvaluateOptions(model, folder, engine="warp"),
        ),
        (
            EngineError,
            "--device cpu: --engine numba picks its own",
            EvaluateOptions(model, folder, engine="numba", device="cpu"),
        ),
        (
            EngineError,
            "--threads 2: only engines take a number",
            EvaluateOptions(model, folder, options=EngineOptions(threads=2)),
        ),
        (
            WavenetError,
            "--device cuda:99: not available",
            EvaluateOptions(model, folder, device="cuda:99"),
        ),
    ]
    for kind, message, options in cases:
        with pytest.raises(kind, match=message):
            list(evaluate.evaluate(options))


def test_weights_that_are_not_finite_are_refused(folder: Path, tmp_path: Path) -> None:
    arrays = as_checkpoint(network(SMALL)).arrays
    arrays["average.hidden.bias"][0] = np.nan
    config = Config(audio=AudioConfig(sample_rate=8000), model=SMALL)
    checkpoint.save(tmp_path / "nan.safetensors", Checkpoint(config, arrays))
    with pytest.raises(EngineError, match=r"weight hidden.bias holds NaN"):
        evaluated(tmp_path / "nan.safetensors", folder)
