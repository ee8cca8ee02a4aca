"""The samples that a run renders say what they are."""

from dataclasses import replace
from pathlib import Path

import pytest
import soundfile as sf

from tests.helpers import SMALL, VOCODER, train_run
from wavenet.config import Config, ModelConfig


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (SMALL, "Synthetic audio after 0.50 s of a recording"),
        (VOCODER, "Synthetic audio (resynthesis from mel frames)"),
    ],
    ids=["a continuation", "a vocoder"],
)
def test_rendered_samples_say_that_they_are_synthetic(
    training_folder: Path, small_config: Config, tmp_path: Path, model: ModelConfig, what: str
) -> None:
    train = replace(small_config.train, steps=2, evaluate_every=2, sample_seconds=0.1)
    config = replace(small_config, model=model, train=train)
    path = tmp_path / "preview.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    run, _ = train_run(training_folder, tmp_path / "my-run", config=str(path))
    tags = sf.SoundFile(run.samples / "step-00000002.wav").copy_metadata()
    assert tags["comment"].startswith(f"{what}, made by wavenet ")
    assert tags["comment"].endswith(": model my-run, step 2, seed 3")
