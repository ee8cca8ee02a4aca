"""The pages that are made from the code: docs/settings.md and docs/python-api.md."""

import doctest
from pathlib import Path
from types import ModuleType

import pytest

import wavenet
from wavenet.config import Config, loading
from wavenet.config.reference import Setting, settings

pytest.importorskip("termios", reason="the pages' commands are run in a terminal of Unix")
from docs.tools import api_page, commands, settings_page

# Numbers that have no unit.
DIMENSIONLESS = {"train.learning_rate", "train.weight_decay", "train.clip_norm", "train.seed"}


@pytest.mark.parametrize("tool", [settings_page, api_page])
def test_a_generated_page_is_what_the_code_says(tool: ModuleType) -> None:
    assert tool.PAGE.read_text("utf-8") == tool.page(), "run `make docs`"


def test_settings_are_described_under_the_names_and_with_the_defaults_that_they_have() -> None:
    described = {setting.name: setting.default for setting in settings()}
    assert tuple(described) == loading.known_keys()
    # Files leave out what is unset.
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in described.items()}
    assert values == {name: None for name in described} | loading.flatten(Config().to_dict())


@pytest.mark.parametrize("setting", settings(), ids=lambda setting: setting.name)
def test_every_setting_has_a_meaning_and_every_number_a_range_and_a_unit(setting: Setting) -> None:
    assert setting.meaning.endswith(".")
    if "integer" in setting.type or setting.type == "number":
        assert setting.range
        assert bool(setting.unit) == (setting.name not in DIMENSIONLESS)


def test_every_public_name_has_an_entry_with_a_docstring() -> None:
    lines = api_page.PAGE.read_text("utf-8").splitlines()
    for name in wavenet.__all__:
        assert f"### wavenet.{name}" in lines
    for above, below in zip(lines, lines[2:], strict=False):
        undocumented = above.startswith("#### ") and below.startswith("#")
        assert not undocumented, f"{above}: has no docstring"


def test_examples_of_the_library_run_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").symlink_to(commands.ROOT / "data")
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in commands.blocks(api_page.PAGE) if block.language == "pycon"]
    assert len(blocks) > 5
    session = "\n".join(block.text for block in blocks)
    test = doctest.DocTestParser().get_doctest(session, {}, "python-api.md", None, 0)
    shown: list[str] = []
    result = doctest.DocTestRunner().run(test, out=shown.append)
    assert not result.failed, "".join(shown)
