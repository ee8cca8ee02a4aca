"""The pages that are made from the code: docs/settings.md and docs/python-api.md."""

from types import ModuleType

import pytest

from docs.tools import api_page, settings_page
from wavenet.config import Config, loading
from wavenet.config.reference import Setting, settings

# Numbers that have no unit.
DIMENSIONLESS = {
    f"train.{name}"
    for name in (
        "learning_rate",
        "weight_decay",
        "clip_norm",
        "ema_decay",
        "validation_fraction",
        "seed",
    )
}


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


def test_what_a_class_inherits_is_explained_once() -> None:
    text = api_page.page()
    assert text.count("Negative log-likelihood of each code in nats") == 1
    assert "As in `Distribution`: `n_params`, `n_inputs`" in text
    # A method that says more than what it overrides is shown for itself.
    assert text.count("#### `draw(params: Array, noise: Array, sampling: Sampling)") == 3
