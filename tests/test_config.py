from pathlib import Path

import pytest

from wavenet.config import Config, ModelConfig, loading
from wavenet.errors import ConfigError


def test_doubling_resets_after_the_cycle() -> None:
    assert ModelConfig(layers=7, dilation_cycle=4).schedule == (1, 2, 4, 1, 2, 4, 1)
    assert ModelConfig(layers=30).schedule == tuple(2**i for i in range(10)) * 3


def test_a_list_of_dilations_replaces_the_cycle() -> None:
    assert loading.load("small", ["model.dilations=[4, 4, 4]"]).model.schedule == (4, 4, 4)


def test_asking_for_layers_undoes_an_inherited_list() -> None:
    inherited = loading.load("small", ["model.dilations=[4, 4, 4]"]).to_dict()
    model = loading.parse(loading.override(inherited, ["model.layers=3"])).model
    assert model.schedule == (1, 2, 4)


def test_a_config_survives_toml(tmp_path: Path) -> None:
    settings = [
        "train.learning_rate=3e-4",
        "model.dilations=[1,2,4]",
        "model.kernel_size=[3,2,2]",
        "train.validation=tails",
    ]
    original = loading.load("music", settings)
    path = tmp_path / "run.toml"
    path.write_text(original.to_toml(), encoding="utf-8")
    assert loading.load(path) == original
    assert original.train.learning_rate == 3e-4


def test_a_list_beside_layers_still_replaces_them() -> None:
    model = loading.load("small", ["model.dilations=[1,2]", "model.layers=20"]).model
    assert model.schedule == (1, 2)


def test_a_file_without_a_name_is_called_after_itself(tmp_path: Path) -> None:
    (tmp_path / "my voice.toml").write_text("[model]\nlayers = 3")
    assert loading.load(tmp_path / "my voice.toml").name == "my-voice"
    (tmp_path / "evil.toml").write_text('name = "../../escape"')
    with pytest.raises(ConfigError, match=r"name = ../../escape: must be letters"):
        loading.load(tmp_path / "evil.toml")


def test_a_preset_is_not_hidden_by_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").write_text("not a config")
    assert loading.load("tiny").name == "tiny"


def test_differences_name_key_old_and_new() -> None:
    a, b = loading.load("small"), loading.load("small", ["train.steps=7", "model.dilations=[1]"])
    assert loading.differences(a, b) == ["model.dilations: unset -> [1]", "train.steps: 20000 -> 7"]


def test_tails_never_trims() -> None:
    assert loading.load("small").trims
    assert not loading.load("small", ["train.validation=tails"]).trims


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.layrs=3", "model.layrs: unknown setting; did you mean model.layers?"),
        ("layers=3", "layers: unknown setting; did you mean model.layers?"),
        ("model.layers", "write it as key=value"),
        ("model.layers=0", "model.layers = 0: must be 1 to 1000"),
        ("model.layers=many", "model.layers = 'many': input should be a valid integer"),
        ("model.dilation_cycle=100", "must be a power of two"),
        ("model.dilations=[1,0]", "0 is not within 1 to 2^20"),
        ("model.dilations=[]", "must list 1 to 1000 dilations"),
        ("model.kernel_size=1", "must be 2 to 64 taps"),
        (
            "model.kernel_size=[2,3]",
            "model.kernel_size = [2, 3]: must be one number, or one for each of 20 layers",
        ),
        ("model.kernel_size=many", "model.kernel_size = 'many': input should be a valid integer"),
        ("model.kernel_size=[2,'a']", "model.kernel_size.1 = 'a': input should be a valid integer"),
        (
            "model.growth=primes",
            "model.growth = 'primes': input should be 'doubling', 'fibonacci' or 'coprime'",
        ),
        (
            "model.layer=deep",
            "model.layer = 'deep': input should be 'dense', 'separable', 'bottleneck' or 'hybrid'",
        ),
        ("model.context=all", "model.context = 'all': input should be 'none' or 'pyramid'"),
        (
            "model.groups=0",
            "model.groups = 0: must divide 32 residual channels and 32, half the gate channels",
        ),
        (
            "model.groups=5",
            "model.groups = 5: must divide 32 residual channels and 32, half the gate channels",
        ),
        (
            "model.bottleneck_channels=8",
            'model.bottleneck_channels = 8: is of model.layer = "bottleneck" only',
        ),
        ("model.bottleneck_channels=-1", "must be 0 (a quarter of the residual channels) to 8192"),
        (
            "model.pyramid_dilations=[1,0]",
            "model.pyramid_dilations = [1, 0]: must list 1 to 16 dilations of 1 to 2^20",
        ),
        ("model.pyramid_dilations=[]", "must list 1 to 16 dilations"),
        ("model.pyramid_window=1", "model.pyramid_window = 1: must be 2 to 2^20 samples"),
        ("model.gate_channels=33", "counts both halves, so it must be even"),
        ("model.levels=200", "must be a power of two from 16 to 1024"),
        ("model.levels=8", "must be a power of two from 16 to 1024"),
        ("train.learning_rate=nan", "must be"),
        ("train.learning_rate=-1", "train.learning_rate = -1.0: must be 1e-09 to 10"),
        ("train.validation=half", "input should be 'files' or 'tails'"),
        ("audio.sample_rate=10", "must be 1000 to 192000 Hz"),
        ("audio.level=loud", "input should be 'none' or 'peak'"),
    ],
)
def test_wrong_settings_are_named(setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as e:
        loading.load("small", [setting])
    assert message in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["model.dilations=[1,2]", "model.kernel_size=[2,1]"],
            "model.kernel_size = [2, 1]: must be 2 to 64 taps",
        ),
        (
            ["model.layer=hybrid", "model.groups=2"],
            'model.groups = 2: divides the convolution of model.layer = "dense" only',
        ),
        (
            ["model.layer=hybrid", "model.gate_channels=2"],
            "model.gate_channels = 2: must be at least 4 for a hybrid layer",
        ),
        (
            ["model.context=pyramid", "model.skip_channels=4"],
            "must be at least 5, one for each branch of the pyramid",
        ),
        (
            ["model.growth=fibonacci", "model.dilation_cycle=0"],
            "model.dilation_cycle = 0: must be 1 to 2^20",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_named(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as e:
        loading.load("small", settings)
    assert message in str(e.value)
    assert "\n" not in str(e.value)


def test_a_growth_with_any_bound_undoes_an_inherited_list() -> None:
    inherited = loading.load("small", ["model.dilations=[4, 4, 4]"]).to_dict()
    settings = [
        "model.growth=fibonacci",
        "model.layers=4",
        "model.dilation_cycle=3",
        "model.kernel_size=[2,3,4,5]",
    ]
    model = loading.parse(loading.override(inherited, settings)).model
    assert model.schedule == (1, 2, 3, 1)
    assert model.kernel_size == model.kernel_sizes == (2, 3, 4, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\nlayrs = 3", "model.layrs: unknown setting; did you mean model.layers?"),
        ("[modle]\nlayers = 3", "modle: unknown setting; did you mean model"),
        ("model = 3", "model = 3"),
        ("this is not toml", "not a TOML file"),
        ("[train]\nlearning_rate = inf", "learning_rate = inf: must be a finite number"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as e:
        loading.load(path)
    assert str(path) in str(e.value)
    assert message in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("smal", "no such preset; did you mean small?"),
        ("qqqqq", "`wavenet presets` lists them"),
        ("no/such.toml", "no such config file"),
    ],
)
def test_missing_configs_are_named(source: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loading.load(source)


def test_a_binary_file_is_not_a_config(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as a config file"):
        loading.load(tmp_path / "x.toml")


def test_every_key_of_every_preset_is_known() -> None:
    known = {*loading.flatten(Config().to_dict()), "model.dilations"}
    for name in loading.preset_names():
        assert loading.flatten(loading.load(name).to_dict()).keys() <= known
