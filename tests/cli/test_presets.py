"""`wavenet presets`: the table, and one of them as a file to start from."""

import json
from pathlib import Path

import pytest

from tests.helpers import wavenet
from wavenet.config import loading
from wavenet.model import locate


def test_presets_are_listed_with_their_field_and_purpose() -> None:
    lines = wavenet("presets").output.splitlines()
    assert {line.split()[0] for line in lines[1:-1]} == {
        "model", *locate.bundled(),
        "tiny", "small", "paper", "music", "r9y9-mulaw256", "r9y9-mol", "nv-wavenet", "ibab",
        "wavenet-1024", "vocoder", "vocoder-small", "voices", "small-44k", "instrument", "words",
    }  # fmt: skip
    assert any("3,070" in line and "777,984" in line for line in lines)
    assert "`wavenet presets NAME`" in lines[-1]


def test_the_table_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = wavenet("presets").output.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["preset", "hears", "ms", "parameters", "kHz", "purpose"]


@pytest.mark.parametrize("name", [*loading.preset_names(), *locate.bundled()])
def test_what_is_printed_of_one_is_a_file_that_gives_its_config(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = wavenet("presets", name).stdout
    path.write_text(text, encoding="utf-8")
    assert loading.load(path) == locate.config_of(name, {})[1]
    # Every setting stands there, most as a comment with its default.
    names = {line.removeprefix("# ").partition(" = ")[0] for line in text.splitlines()}
    assert {key.rpartition(".")[2] for key in loading.known_keys()} - {"dilations"} <= names


def test_a_default_that_is_uncommented_changes_nothing(tmp_path: Path) -> None:
    _, _, *lines = wavenet("presets", "small").stdout.splitlines()
    path = tmp_path / "mine.toml"
    # That one is unset, which a file cannot say.
    settings = [line.removeprefix("# ") for line in lines if not line.startswith("# dilations")]
    path.write_text("\n".join(settings), encoding="utf-8")
    assert loading.load(path) == loading.load("small")


def test_json_has_one_shape_for_all_and_for_one() -> None:
    every, one = (json.loads(wavenet("presets", *n, "--json").stdout) for n in ([], ["tiny"]))
    assert [entry["name"] for entry in every] == [*loading.preset_names(), *locate.bundled()]
    assert one == [entry for entry in every if entry["name"] == "tiny"]
    assert one[0]["config"]["train"]["steps"] == 1400
