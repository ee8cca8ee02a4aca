"""What audio files say of their origin: what is named, and what is not."""

from pathlib import Path

import pytest

from tests.helpers import SMALL, as_checkpoint, network
from wavenet import __version__
from wavenet.generation.provenance import model_name, synthetic_tags
from wavenet.model import checkpoint, locate

MODEL = as_checkpoint(network(SMALL), step=400)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder, as far as a name goes."""
    folder = tmp_path / "ada" / "my-run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.toml").touch()
    return folder


def test_a_model_is_named_by_its_run_or_its_file_and_never_by_its_place(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_run, alone = (
        locate.step_path(run / "checkpoints", 400),
        tmp_path / "ada" / "v1.2.safetensors",
    )
    for path in (of_run, alone):
        checkpoint.save(path, MODEL)
    assert model_name(run) == "my-run"
    assert model_name(of_run) == model_name(of_run.parent) == "my-run"
    assert model_name(alone) == "v1.2"
    monkeypatch.chdir(run)
    assert model_name(Path()) == "my-run"
    monkeypatch.chdir(of_run.parent)
    assert model_name(Path(of_run.name)) == "my-run"
    # One that was there.
    gone = tmp_path / "bob" / "take-1.5"
    assert model_name(gone) == "take-1.5"
    assert model_name(locate.step_path(gone / "checkpoints", 400)) == "take-1.5"
    assert model_name(gone.with_name("v2.0.safetensors")) == "v2.0"
    # One that comes with the program, wherever one is.
    assert model_name(Path("demo-voice")) == "demo-voice"


def test_tags_say_what_is_synthetic_and_what_made_it() -> None:
    assert synthetic_tags("ada", MODEL, 7) == {
        "title": "Synthetic audio: ada, seed 7",
        "comment": f"Synthetic audio, made by wavenet {__version__}: model ada, step 400, seed 7",
        "software": f"wavenet {__version__}",
    }
    for settings, what in (
        ({"lead_seconds": 1.5}, "Synthetic audio after 1.50 s of a recording"),
        ({"made_from": "mel frames"}, "Synthetic audio (resynthesis from mel frames)"),
    ):
        tags = synthetic_tags("ada", MODEL, 7, clip=2, **settings)  # type: ignore[arg-type]
        assert tags["title"] == f"{what}: ada, seed 7, clip 2"
        assert tags["comment"].startswith(f"{what}, made by wavenet")
        assert tags["comment"].endswith(": model ada, step 400, seed 7, clip 2")
