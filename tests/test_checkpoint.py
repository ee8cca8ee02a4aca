import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.conftest import SMALL, as_checkpoint, network
from wavenet.errors import CheckpointError, OutputError
from wavenet.generation.sampler import Sampler
from wavenet.model import checkpoint, locate, parameters
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.network import WaveNet

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, as_checkpoint(network(SMALL), step=7))
    return path


def rewrite(path: Path, **changes: object) -> Path:
    """Change parts of a checkpoint's metadata."""
    from safetensors import safe_open

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


@pytest.mark.parametrize("output", ["mulaw", "logistic", "gaussian"])
def test_expected_shapes_are_the_modules(output: str) -> None:
    model = WaveNet(replace(SMALL, output=output))
    assert parameters.expected_shapes(model.config) == {
        k: tuple(v.shape) for k, v in model.state_dict().items()
    }


def test_the_golden_checkpoint_of_format_1_still_plays() -> None:
    """Written by the first version. Its model, seed 7, must go on making these codes."""
    model = checkpoint.load(GOLDEN / "format-1.safetensors")
    expected = json.loads((GOLDEN / "format-1.json").read_text())
    assert model.training.step == expected["step"]
    for engine in ("reference", "numba"):
        sampler = Sampler(model, seed=7, engine=engine)
        wav = np.concatenate(list(sampler.blocks(len(expected["codes"]))), axis=1)
        assert sampler.distribution.encode(wav[0]).tolist() == expected["codes"]


def test_a_failed_write_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    message = (
        r"tensors: cannot be written \(No space left on device\); "
        r"everything finished before is intact"
    )
    with pytest.raises(OutputError, match=message):
        checkpoint.save(saved, as_checkpoint(network(SMALL, seed=1)))
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_damaged_and_foreign_files_are_named(saved: Path, tmp_path: Path) -> None:
    intact = saved.read_bytes()
    cases = {
        "truncated": intact[:-10],
        "header": intact[:50],
        "empty": b"",
        "text": b"not a checkpoint",
        "pickle": pickle.dumps({"model": 1}),
    }
    for name, content in cases.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        message = r"not a checkpoint of this program, or a damaged one"
        with pytest.raises(CheckpointError, match=message) as e:
            checkpoint.load(path)
        assert str(path) in str(e.value)
    save_file({"x": np.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="not a checkpoint of this program"):
        checkpoint.load(tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="no such file"):
        checkpoint.load(tmp_path / "no.safetensors")


def test_a_newer_format_is_refused_by_number(saved: Path) -> None:
    with pytest.raises(CheckpointError, match=r"of format 2, this version reads format 1; upgrade"):
        checkpoint.load(rewrite(saved, format=2))


def test_a_config_that_does_not_fit_the_weights_is_named(saved: Path) -> None:
    config = checkpoint.load(saved).config.to_dict()
    config["model"]["skip_channels"] = 11
    with pytest.raises(
        CheckpointError,
        match=r"average.hidden.weight has shape \(7, 9, 1\), its config asks for \(7, 11, 1\)",
    ):
        checkpoint.load(rewrite(saved, config=config))
    config["model"]["skip_channels"] = -1
    with pytest.raises(CheckpointError, match=r"model.skip_channels = -1: must be"):
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
        checkpoint.save(path, Checkpoint(model.config, model.arrays, training))
    assert locate.find(tmp_path / "run") == locate.step_path(folder, 5)
    locate.step_path(folder, 5).unlink()
    assert locate.find(tmp_path / "run") == locate.step_path(folder, 10)
