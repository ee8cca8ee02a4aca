"""What lands in TensorBoard."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_cli import fails
from wavenet.cli.tensorboard import TensorBoardReport
from wavenet.training.resume import TrainOptions
from wavenet.training.session import train


@pytest.mark.filterwarnings("ignore")  # TensorBoard's own
def test_scalars_audio_and_pictures_of_every_step_once(
    training_folder: Path, config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for stop_at in (5, 8, 10):
        for lost in (tmp_path / "run" / "checkpoints").glob("*8.safetensors"):
            lost.unlink()  # as if the machine had died before it was written: steps 6 to 8 are trained again
        board = TensorBoardReport()
        request = TrainOptions(
            training_folder,
            str(config_file),
            ("train.sample_seconds=0.1",),
            tmp_path / "run",
            stop_at=stop_at,
        )
        try:
            train(request, board)
        finally:
            board.close()
    folder = tmp_path / "run" / "tensorboard"
    assert f"tensorboard --logdir {folder}" in capsys.readouterr().out
    found = EventAccumulator(str(folder)).Reload()
    scalars = {
        tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]
    }
    assert set(scalars) == {
        "bits per sample/training",
        "bits per sample/validation",
        "learning rate",
    }
    assert [step for step, _ in scalars["bits per sample/validation"]] == [
        5,
        10,
    ]  # what the crash undid is gone
    assert all(4 < bits < 5.1 for _, bits in scalars["bits per sample/validation"])
    assert (
        [a.step for a in found.Audio("sample")]
        == [i.step for i in found.Images("sample")]
        == [5, 10]
    )
    assert found.Images("sample")[0].width > 500
    assert found.Audio("sample")[0].sample_rate == 8000


def test_without_tensorboard_there_is_one_line(
    training_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_folder: Callable[..., Path],
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    line = fails("train", training_folder, "-o", tmp_path / "run", "--tensorboard")
    assert (
        line == "wavenet: --tensorboard: is not installed; pip install tensorboard, or leave it out"
    )
    assert not (tmp_path / "run").exists()
