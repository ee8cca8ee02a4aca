"""What lands in TensorBoard."""

import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers import fails, wavenet
from wavenet.cli.console import ConsoleReport
from wavenet.cli.tensorboard import TensorBoardReport
from wavenet.training.session import train


# The warnings are TensorBoard's own.
@pytest.mark.filterwarnings("ignore")
def test_scalars_audio_and_pictures_of_every_step_once(
    training_folder: Path, config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for stop_at in (5, 8, 10):
        # As if the machine had died before step 8 was written: steps 6 to 8 are trained again.
        for lost in (tmp_path / "run" / "checkpoints").glob("*8.safetensors"):
            lost.unlink()
        console = ConsoleReport()
        with closing(TensorBoardReport(console.note)) as report, closing(console):
            train(
                training_folder,
                config=str(config_file),
                overrides={"train.sample_seconds": 0.1},
                out=tmp_path / "run",
                stop_at=stop_at,
                listeners=[report, console],
            )
    folder = tmp_path / "run" / "tensorboard"
    assert f"tensorboard --logdir {folder}" in capsys.readouterr().out
    events = EventAccumulator(str(folder)).Reload()
    scalars = {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }
    assert set(scalars) == {
        "bits per sample/training",
        "bits per sample/validation",
        "learning rate",
    }
    validated = scalars["bits per sample/validation"]
    # What the crash undid is gone.
    assert [step for step, _ in validated] == [5, 10]
    assert all(4 < bits < 5.1 for _, bits in validated)
    assert [a.step for a in events.Audio("sample")] == [5, 10]
    assert [i.step for i in events.Images("sample")] == [5, 10]
    assert events.Images("sample")[0].width > 500
    assert events.Audio("sample")[0].sample_rate == 8000


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


def test_a_tensorboard_that_cannot_be_loaded_is_one_line(
    training_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def __getattr__(self, name: str) -> None:
            raise TypeError("Descriptors cannot be created directly.\nIf this call came from")

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", Broken())
    assert fails("train", training_folder, "-o", tmp_path / "run", "--tensorboard") == (
        "wavenet: --tensorboard: cannot be loaded (Descriptors cannot be created directly.); "
        "leave it out"
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("where", ["write", "flush"])
def test_a_full_disk_ends_neither_training_nor_its_lines(
    where: str, training_folder: Path, config_file: Path, tmp_path: Path
) -> None:
    """What the thread that writes raises is shown once as well."""
    record_writer = pytest.importorskip("tensorboard.summary.writer.record_writer")
    hook = threading.excepthook

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_writer.RecordWriter, where, refuse)
        command = ("train", training_folder, "-c", config_file, "-o", tmp_path / "run")
        result = wavenet(*command, "--tensorboard", "--set", "train.sample_seconds=0.05")
    assert result.exit_code == 0, result.output
    assert (
        result.stderr.count("TensorBoard failed (No space left on device); training goes on") == 1
    )
    assert "Traceback" not in result.output
    assert "done. Hear it with" in result.stdout
    assert threading.excepthook == hook
