"""Runs of networks that are told something: as users start, resume, hear and score them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner, Result

from tests.conftest import BOTH, VOCODER, VOICES, noisy, tone
from wavenet import checkpoint
from wavenet.cli import app
from wavenet.config import Config, ModelConfig


def wavenet(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


def fails(*args: object) -> str:
    result = wavenet(*args)
    assert result.exit_code == 1, result.output
    return result.stderr.strip().splitlines()[-1]


def written(config: Config, model: ModelConfig, tmp_path: Path) -> Path:
    path = tmp_path / "told.toml"
    path.write_text(replace(config, model=model, train=replace(config.train, sample_seconds=0.1)).to_toml(), encoding="utf-8")
    return path


@pytest.fixture
def voices(make_folder: Callable[..., Path]) -> Path:
    return make_folder({f"{who}/{i}.wav": tone(0.6, hertz=f + 9 * i) + noisy(0.6, seed=i, amplitude=0.02)
                        for who, f in (("ada", 150), ("bob", 290)) for i in range(3)})  # fmt: skip


def test_labels_from_folders_to_clips(voices: Path, small_config: Config, tmp_path: Path) -> None:
    path, run = written(small_config, replace(VOICES, labels=()), tmp_path), tmp_path / "run"
    trained = wavenet("train", voices, "--config", path, "-o", run)
    assert trained.exit_code == 0, trained.output
    assert "labels     ada 1.8 s, bob 1.8 s" in trained.output
    assert f"wavenet generate {run}" in trained.output
    assert list((run / "samples").glob("*.wav"))
    stored = checkpoint.load(checkpoint.find(run))
    assert stored.config.model.labels == ("ada", "bob")
    made = wavenet("generate", run, "--seconds", 0.1, "--seed", 1, "--count", 3, "-o", tmp_path / "x.wav")
    assert [line.rsplit(", ")[-1] for line in made.stdout.splitlines()[-3:]] == ["ada", "bob", "ada"]
    one = wavenet("generate", run, "--seconds", 0.1, "--seed", 1, "--label", "bob", "-o", tmp_path / "y.wav")
    assert one.exit_code == 0
    assert "--label eve: unknown; the model knows ada, bob" in fails("generate", run, "--label", "eve", "-o", tmp_path / "z.wav")
    assert not (tmp_path / "z.wav").exists()
    for way in ((), ("--config", path)):  # a preset does not name labels, and need not
        again = wavenet("train", voices, *way, "-o", run)
        assert "is at step 10 already" in again.output
    (voices / "cyd").mkdir()
    sf.write(voices / "cyd" / "new.wav", tone(0.5), 8000)
    assert "has the label cyd, which this network does not know (ada, bob)" in fails("train", voices, "-o", run, "--accept-changes")


def test_labels_from_a_table_and_from_names(make_folder: Callable[..., Path], small_config: Config, tmp_path: Path) -> None:
    folder = make_folder({f"{who}_{i}.wav": noisy(0.3, seed=i, amplitude=f) for who, f in (("ada", 0.1), ("bob", 0.2)) for i in range(2)})
    path = written(small_config, replace(VOICES, labels=()), tmp_path)
    assert "has no subfolders to take labels from" in fails("train", folder, "--config", path, "-o", tmp_path / "a")
    trained = wavenet("train", folder, "--config", path, "-o", tmp_path / "b", "--label-from", r"(?P<label>[a-z]+)_\d+")
    assert "labels     ada 0.6 s, bob 0.6 s" in trained.output
    again = wavenet("train", "-o", tmp_path / "b")
    assert "is at step 10 already" in again.output
    rows = [f"{p.name},voice {i % 2}" for i, p in enumerate(sorted(folder.glob("*.wav")))]
    (folder / "who.csv").write_text("\n".join(["file,label", *rows]))
    trained = wavenet("train", folder, "--config", path, "-o", tmp_path / "c", "--label-from", "who.csv")
    assert "labels     voice 0 0.6 s, voice 1 0.6 s" in trained.output
    plain = fails("train", folder, "--config", "tiny", "-o", tmp_path / "d", "--label-from", "folder2")
    assert "this configuration takes no labels; use --config voices" in plain


@pytest.mark.parametrize("model", [VOCODER, replace(BOTH, labels=())], ids=["mel", "labels and mel"])
@pytest.mark.parametrize("output", ["mulaw", "logistic"])
def test_a_vocoder_is_trained_heard_and_scored(voices: Path, small_config: Config, tmp_path: Path, model: ModelConfig, output: str) -> None:
    path, run = written(small_config, replace(model, output=output, mixtures=3), tmp_path), tmp_path / "run"
    trained = wavenet("train", voices, "--config", path, "-o", run)
    assert trained.exit_code == 0, trained.output
    assert "frames     6 mel bands from 0 to 4000 Hz every 8 samples (1.0 ms)" in trained.output
    assert f"wavenet vocode {run} RECORDING" in trained.output
    assert "`wavenet vocode` takes a recording" in fails("generate", run, "-o", tmp_path / "no.wav")
    label = ("--label", "bob") if model.label_channels else ()
    said = wavenet("vocode", run, voices / "ada" / "0.wav", "--seed", 1, *label, "-o", tmp_path / "said.wav")
    assert said.exit_code == 0, said.output
    assert len(sf.read(tmp_path / "said.wav")[0]) == 4800
    ways = {}
    for engine in ("parallel", "numba", "reference"):
        result = wavenet("evaluate", run, voices, "--engine", engine, "--json", "--vocoded", 0 if engine == "reference" else 2)
        assert result.exit_code == 0, result.output
        ways[engine] = json.loads(result.stdout)
    for found in ways.values():
        assert found["bits_per_sample"] == pytest.approx(ways["parallel"]["bits_per_sample"], rel=1e-5)
    vocoded = ways["parallel"]["vocoded"]
    assert vocoded["recordings"] == 2
    assert vocoded["model"]["mel_db"] > 0
    assert vocoded["griffin_lim"]["spectral_convergence"] > 0
    assert ways["reference"]["vocoded"] is None
    table = wavenet("evaluate", run, voices, "--vocoded", 1)
    assert "Griffin-Lim" in table.output


def test_a_conditioned_run_goes_on_as_if_never_interrupted(voices: Path, small_config: Config, tmp_path: Path) -> None:
    path = written(small_config, replace(BOTH, labels=()), tmp_path)
    for name, *stop in (("whole",), ("half", "--stop-at", 5), ("half",)):
        assert wavenet("train", voices, "--config", path, "-o", tmp_path / name, *stop).exit_code == 0
    whole, half = (checkpoint.load_latest(tmp_path / name / "checkpoints", resume=True) for name in ("whole", "half"))
    assert whole is not None
    assert half is not None
    assert whole.arrays.keys() == half.arrays.keys()
    for name, array in whole.arrays.items():
        assert (half.arrays[name] == array).all(), name


def test_evaluating_needs_labels_and_takes_one_for_all(voices: Path, small_config: Config, tmp_path: Path) -> None:
    run = tmp_path / "run"
    wavenet("train", voices, "--config", written(small_config, replace(VOICES, labels=()), tmp_path), "-o", run)
    by_folder, ada, bob = (
        json.loads(wavenet("evaluate", run, folder, *how, "--json").stdout)["bits_per_sample"]
        for folder, how in ((voices, ()), (voices, ("--label", "ada")), (voices, ("--label", "bob")))
    )
    assert len({by_folder, ada, bob}) == 3
    assert "has no subfolders" in fails("evaluate", run, voices / "ada")
    assert "--label eve: unknown" in fails("evaluate", run, voices, "--label", "eve")
    found = []
    for engine in ("numba", "reference"):
        found.append(json.loads(wavenet("evaluate", run, voices, "--engine", engine, "--json").stdout)["bits_per_sample"])
    assert found == pytest.approx([by_folder] * 2, rel=1e-5)


def test_accumulated_parts_and_bf16_train_a_conditioned_network(voices: Path, small_config: Config, tmp_path: Path) -> None:
    path = written(small_config, replace(BOTH, labels=()), tmp_path)
    bits = {}
    for name, settings in {"whole": (), "parts": ("train.accumulate=3",), "groups": ("train.checkpoint_layers=2",)}.items():
        sets = [part for s in settings for part in ("--set", s)]
        assert wavenet("train", voices, "--config", path, "-o", tmp_path / name, *sets).exit_code == 0
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        bits[name] = [m["validation_bits"] for m in map(json.loads, lines) if "validation_bits" in m]
    assert bits["parts"] == pytest.approx(bits["whole"], abs=1e-3)
    assert bits["groups"] == bits["whole"]
    assert np.isfinite(bits["whole"]).all()
