import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save, save_file

import wavenet
from tests.helpers import GOLDEN, SMALL, as_checkpoint, network
from wavenet.config import AudioConfig, Config
from wavenet.engines.options import DEFAULTS
from wavenet.errors import CheckpointError, OutputError, UsageError
from wavenet.generation.sampler import Sampler
from wavenet.model import checkpoint, locate
from wavenet.model.checkpoint import Model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, as_checkpoint(network(SMALL), step=7))
    return path


def rewrite(path: Path, **changes: object) -> Path:
    """Change parts of a checkpoint's metadata."""
    with safe_open(path, framework="numpy") as f:
        about = json.loads(f.metadata()["wavenet"])
    arrays = load_file(path)
    save_file(arrays, path, metadata={"wavenet": json.dumps(about | changes)})
    return path


def test_a_checkpoint_describes_itself(saved: Path) -> None:
    loaded = checkpoint.load(saved)
    assert loaded.config == as_checkpoint(network(SMALL)).config
    assert loaded.training.step == 7
    for name, array in as_checkpoint(network(SMALL)).weights.items():
        assert (loaded.weights[name] == array).all()


def test_the_golden_checkpoint_of_format_1_still_plays() -> None:
    """Written by the first version. Its model, seed 7, must go on making these codes."""
    model = checkpoint.load(GOLDEN / "format-1.safetensors")
    expected = json.loads((GOLDEN / "format-1.json").read_text())
    assert model.training.step == expected["step"]
    for engine in ("reference", "numba"):
        sampler = Sampler(model, seed=7, engine=engine, options=DEFAULTS)
        wav = np.concatenate(list(sampler.blocks(len(expected["codes"]))), axis=1)
        assert sampler.distribution.encode(wav[0]).tolist() == expected["codes"]


def test_a_failed_write_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="No space left on device") as e:
        checkpoint.save(saved, as_checkpoint(network(SMALL, seed=1)))
    assert e.value.subject == saved
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_damaged_and_foreign_files_are_named(saved: Path, tmp_path: Path) -> None:
    intact = saved.read_bytes()
    foreign = save({"x": np.zeros(3)})
    pickled = pickle.dumps({"model": 1})
    path = tmp_path / "other.safetensors"
    for content in (intact[:-10], intact[:50], b"", b"not a checkpoint", pickled, foreign):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="not a checkpoint of this program") as e:
            checkpoint.load(path)
        assert e.value.subject == path
    with pytest.raises(CheckpointError, match="no such file"):
        checkpoint.load(tmp_path / "no.safetensors")


def test_a_newer_format_is_refused_by_number(saved: Path) -> None:
    with pytest.raises(CheckpointError, match="format 2"):
        checkpoint.load(rewrite(saved, format=2))


def test_a_config_that_does_not_fit_the_weights_is_named(saved: Path) -> None:
    config = checkpoint.load(saved).config.to_dict()
    config["model"]["skip_channels"] = 11
    with pytest.raises(CheckpointError, match=r"average.hidden.weight .*\(7, 9, 1\).*\(7, 11, 1\)"):
        checkpoint.load(rewrite(saved, config=config))
    config["model"]["skip_channels"] = -1
    with pytest.raises(CheckpointError, match=r"model.skip_channels = -1"):
        checkpoint.load(rewrite(saved, config=config))


def test_a_folder_means_its_best_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    with pytest.raises(CheckpointError, match="holds no checkpoint yet"):
        locate.find(tmp_path / "run")
    for step, best in ((5, 5), (10, 5)):
        model = as_checkpoint(network(SMALL), step=step)
        training = checkpoint.Training(step=step, best_bits=3.0, best_step=best)
        path = locate.step_path(folder, step)
        checkpoint.save(path, Model(model.config, model.arrays, training))
    assert locate.find(tmp_path / "run") == locate.step_path(folder, 5)
    locate.step_path(folder, 5).unlink()
    assert locate.find(tmp_path / "run") == locate.step_path(folder, 10)


def test_a_network_of_ones_own_is_a_model_like_any_other(tmp_path: Path) -> None:
    own = network(SMALL).double()
    config = Config(name="mine", audio=AudioConfig(sample_rate=8000), model=SMALL)
    model = wavenet.Model.from_network(own, config)
    assert (model.sample_rate, model.receptive_field) == (8000, SMALL.receptive_field)
    assert wavenet.Model.from_network(own).sample_rate == 16000
    model.save(tmp_path / "mine.safetensors")
    read = wavenet.load(tmp_path / "mine.safetensors")
    for name, weight in own.state_dict().items():
        assert (model.weights[name] == weight.numpy().astype(np.float32)).all()
        assert (read.weights[name] == model.weights[name]).all()
    x = torch.zeros(1, 30, dtype=torch.int64)
    back = read.network()
    assert not back.training
    assert torch.allclose(back(x).double(), own(x), atol=1e-4)
    # The weights are copies, on both ways.
    with torch.no_grad():
        own.output.bias.add_(1)
        back.output.bias.add_(1)
    assert (model.weights["output.bias"] == read.weights["output.bias"]).all()


def test_a_model_is_described_in_a_line() -> None:
    named = replace(as_checkpoint(network(SMALL), step=1200), name="a run")
    text = "5 layers, 2,501 parameters, hears 11 samples (1 ms) at 8000 Hz"
    assert repr(named) == f"<wavenet.Model 'a run': {text}, step 1,200>"
    assert repr(as_checkpoint(network(SMALL))) == f"<wavenet.Model 'test': {text}>"


def test_what_no_model_can_be_made_of_or_saved_as_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`network`: is a WaveNetStack; give a wavenet"):
        wavenet.Model.from_network(wavenet.WaveNetStack(SMALL))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="`config`: its model is not that of the network"):
        wavenet.Model.from_network(network(SMALL), Config())
    for config in ("tiny", SMALL):
        with pytest.raises(UsageError, match="must be of type Config; give wavenet"):
            wavenet.Model.from_network(network(SMALL), config)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="`config` of type"):
            wavenet.Model(config, {})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"mine\.pt: must end in \.safetensors"):
        as_checkpoint(network(SMALL)).save(tmp_path / "new" / "mine.pt")
    for path in (None, ""):
        with pytest.raises(UsageError, match="`path`"):
            as_checkpoint(network(SMALL)).save(path)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_folders_of_a_saved_model_are_made_and_a_home_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    as_checkpoint(network(SMALL)).save("~/new/mine.safetensors")
    assert wavenet.load("~/new/mine.safetensors").name == "mine"
    assert (tmp_path / "new" / "mine.safetensors").exists()
