"""`wavenet plot`: what it draws and what it refuses."""

from pathlib import Path

import matplotlib.image
import pytest

from wavenet.cli.plot import plot
from wavenet.config import Config
from wavenet.errors import RunError
from wavenet.training.run_folder import Run


@pytest.fixture
def runs(tmp_path: Path, small_config: Config) -> list[Path]:
    """Two runs with curves, the second longer, and one that has not trained."""
    folders = [tmp_path / "a", tmp_path / "b", tmp_path / "new"]
    for folder, steps in zip(folders, (40, 100, 0), strict=True):
        run = Run(folder)
        run.create().release()
        run.config_file.write_text(small_config.to_toml(), encoding="utf-8")
        for step in range(10, steps + 1, 10):
            run.log(step=step, seconds=36.0 * step, train_bits=8 - step / 20)
            validation_bits = 8 - step / 25 if step < 90 else 6.0
            run.log(step=step, seconds=36.0 * step, validation_bits=validation_bits)
    return folders


def test_runs_are_drawn_and_summed_up(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "loss.png"
    lines = list(plot(runs[:2], "steps", out))
    assert lines == [
        f"{runs[0]}  step 40, 0.40 hours; at best 6.400 bits per sample at step 40",
        f"{runs[1]}  step 100, 1.00 hours; at best 4.800 bits per sample at step 80",
        str(out),
    ]
    both = matplotlib.image.imread(out)
    list(plot(runs[:1], "steps", out))
    one = matplotlib.image.imread(out)
    assert both.shape == one.shape
    # The second run left its mark.
    assert (both != one).any()
    list(plot(runs[:1], "hours", out))
    assert (matplotlib.image.imread(out) != one).any()


def test_what_cannot_be_drawn_is_named(runs: list[Path], tmp_path: Path) -> None:
    for message, folders, over, out in [
        ("new: has logged nothing yet", runs, "steps", "a.png"),
        ("no: not a run", [tmp_path / "no"], "steps", "a.png"),
        ("--over days: unknown; use steps or hours", runs[:1], "days", "a.png"),
        ("a.pdf: is drawn as a PNG; name it .*a.pdf.png", runs[:1], "steps", "a.pdf"),
        ("is drawn as a PNG", runs[:1], "steps", "."),
    ]:
        with pytest.raises(RunError, match=message):
            list(plot(folders, over, tmp_path / out))
    assert not (tmp_path / "a.png").exists()
