"""What earlier versions wrote still works: settings under old names, a checkpoint, a run folder."""

import json
import shutil
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from tests.helpers import GOLDEN, wavenet
from wavenet.config import legacy, loading
from wavenet.config.legacy import Renamed, Retired
from wavenet.errors import ConfigError
from wavenet.model import checkpoint, locate

# Of the recordings that tests/golden/run-1 was trained on.
RATE = 8000
SECONDS = 0.8
TABLE = {
    "train.old": Renamed("train.new", lambda value: 1 - value),
    "model.gone": Retired(0, "use model.other"),
}


def write_recordings(folder: Path) -> None:
    """Two voices with four recordings each: triangle waves and noise, in integer arithmetic.

    They are the same to the last bit on every machine.
    """
    for voice, period in (("ada", 37), ("bob", 59)):
        (folder / voice).mkdir(parents=True)
        for i in range(4):
            n = np.arange(round(SECONDS * RATE), dtype=np.int64)
            triangle = np.abs(n % (period + i) * 2 - (period + i)) * 200
            noise = (n * 1103515245 + 12345 + i * 7919) // 65536 % 512
            pcm = (triangle + noise - 4000).astype("<i2")
            with wave.open(str(folder / voice / f"{i}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(RATE)
                file.writeframes(pcm.tobytes())


def modernised(nested: dict[str, Any]) -> dict[str, Any]:
    return legacy.modernised(nested, "a.toml", TABLE)


def test_a_renamed_setting_is_translated_and_its_source_left_alone() -> None:
    nested = {"name": "x", "train": {"old": 0.25, "steps": 3}}
    assert modernised(nested) == {"name": "x", "train": {"new": 0.75, "steps": 3}}
    assert nested["train"] == {"old": 0.25, "steps": 3}


def test_a_retired_setting_is_ignored_at_its_default_and_refused_otherwise() -> None:
    assert modernised({"model": {"gone": 0}}) == {"model": {}}
    with pytest.raises(ConfigError) as caught:
        modernised({"model": {"gone": 2}})
    assert str(caught.value) == "a.toml: model.gone = 2: is no longer there; use model.other"


def test_a_setting_under_both_names_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        modernised({"train": {"old": 1, "new": 2}})
    assert str(caught.value) == ("a.toml: train.old is called train.new now: give one of the two")


def test_sections_that_are_no_tables_are_left_for_the_check_that_names_them() -> None:
    assert modernised({"train": 3}) == {"train": 3}


def test_every_entry_leads_to_a_setting_that_is_there() -> None:
    known = loading.known_keys()
    for key, entry in legacy.LEGACY.items():
        assert key not in known
        if isinstance(entry, Renamed):
            assert entry.to in known
            assert entry.to.partition(".")[0] == key.partition(".")[0]


def test_old_names_work_in_files_and_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[train]\naverage_decay = 0.5\n")
    path = str(tmp_path / "a.toml")
    assert loading.load(path).train.ema_decay == 0.5
    overrides = loading.parse_assignments(["train.average_decay=0.25"])
    assert loading.load(path, overrides).train.ema_decay == 0.25


def test_the_command_line_goes_through_the_table_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        legacy.LEGACY, "train.pace", Renamed("train.learning_rate", lambda value: value / 10)
    )
    monkeypatch.setitem(legacy.LEGACY, "model.gone", TABLE["model.gone"])
    assert loading.parse_assignments(["train.pace=0.5"]) == {"train.learning_rate": 0.05}
    assert loading.parse_assignments(["model.gone=0"]) == {}
    with pytest.raises(ConfigError) as caught:
        loading.parse_assignments(["model.gone=1"])
    assert caught.value.subject == "`set` model.gone=1"
    assert caught.value.advice == "use model.other"


def invoke(*arguments: object) -> str:
    result = wavenet(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_run_of_the_first_version_goes_on_as_it_would_have_there(tmp_path: Path) -> None:
    """It keeps the settings, labels, EMA and Adam's moments, and asks about no changes."""
    write_recordings(tmp_path / "recordings")
    run = tmp_path / "run"
    shutil.copytree(GOLDEN / "run-1", run)
    assert "average_decay = 0.9" in (run / "config.toml").read_text()
    output = invoke("train", tmp_path / "recordings", "--out", run)
    assert f"resuming {run} at step 8" in output
    assert "ema_decay = 0.9" in (run / "config.toml").read_text()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    expected = json.loads((GOLDEN / "run-1.json").read_text())["resumed"]
    resumed = [m for m in metrics if m["step"] == 16]
    assert [m.keys() for m in resumed] == [m.keys() for m in expected]
    for name in ("train_bits", "validation_bits"):
        (then,), (now,) = ([m[name] for m in ms if name in m] for ms in (expected, resumed))
        assert now == pytest.approx(then, abs=2e-4)


def test_a_checkpoint_of_the_first_version_plays_what_it_did_there(tmp_path: Path) -> None:
    write_recordings(tmp_path / "recordings")
    out = tmp_path / "out.wav"
    options = ["--label", "ada", "--seed", 3, "--engine", "reference", "-o", out]
    invoke("vocode", GOLDEN / "run-1", tmp_path / "recordings" / "bob" / "0.wav", *options)
    played, _ = sf.read(out, dtype="int16")
    expected = json.loads((GOLDEN / "run-1.json").read_text())["vocoded"]
    np.testing.assert_array_equal(played[: len(expected)], expected)


def test_a_config_that_a_checkpoint_carries_is_modernised() -> None:
    config = checkpoint.load(locate.find(GOLDEN / "run-1")).config
    assert config.train.ema_decay == 0.9
