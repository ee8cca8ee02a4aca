"""`wavenet settings`: what it lists, and finds."""

import json

import pytest

from tests.helpers import wavenet
from wavenet.config import loading


def test_every_setting_is_listed_in_a_table_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = wavenet("settings").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    names = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    assert [n for n in names if n in loading.known_keys()] == [*loading.known_keys()]
    assert any(line.startswith("audio.sample_rate          16000 Hz") for line in lines)


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["warmup"], "train.warmup_steps"),
        (["lr"], "train.learning_rate"),
        (["n_layers"], "model.layers"),
        # Both words, in the name or in the meaning.
        (["loudest", "silence"], "audio.trim_db"),
    ],
)
def test_words_find_settings_by_name_meaning_and_other_name(words: list[str], first: str) -> None:
    lines = wavenet("settings", *words).stdout.splitlines()
    assert lines[0] == first
    assert lines[1].startswith("  default  ")
    assert lines[3].startswith("  meaning  ")


def test_values_of_a_config_are_marked_where_they_are_not_the_default() -> None:
    lines = wavenet("settings", "--config", "tiny").stdout.splitlines()
    values = {line.split()[0]: line.split()[1:3] for line in lines if line.startswith("train.")}
    assert values["train.steps"] == ["*", "1400"]
    assert values["train.warmup_steps"][0] == "50"
    one = wavenet("settings", "train.steps", "-c", "tiny").stdout.splitlines()
    assert one[:2] == ["train.steps", "  value    1400  *"]


def test_json_has_every_setting_with_its_value() -> None:
    found = json.loads(wavenet("settings", "train.steps", "-c", "tiny", "--json").stdout)
    (steps,) = (setting for setting in found if setting["name"] == "train.steps")
    assert (steps["value"], steps["default"], steps["unit"]) == (1400, 20000, "steps")
    every = json.loads(wavenet("settings", "--json").stdout)
    assert [setting["name"] for setting in every] == [*loading.known_keys()]
    assert steps | {"value": None} in every
