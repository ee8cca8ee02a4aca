"""Settings: where they are read from, what overrides change, and what is refused by name."""

from pathlib import Path
from typing import Any

import pytest

from wavenet.config import AudioConfig, Config, ModelConfig, TrainConfig, loading
from wavenet.config.reference import OTHER_NAMES
from wavenet.errors import ConfigError, UsageError


@pytest.mark.parametrize(
    ("overrides", "schedule"),
    [
        ({"model.dilations": [4, 4, 4]}, (4, 4, 4)),
        ({"model.dilations": [1, 2], "model.layers": 20}, (1, 2)),
    ],
)
def test_a_list_of_dilations_replaces_the_cycle(
    overrides: dict[str, Any], schedule: tuple[int, ...]
) -> None:
    assert loading.load("small", overrides).model.schedule == schedule


@pytest.mark.parametrize(
    ("settings", "schedule"),
    [
        ({"layers": 3}, (1, 2, 4)),
        ({"growth": "fibonacci", "layers": 4, "dilation_cycle": 3}, (1, 2, 3, 1)),
    ],
)
def test_asking_for_a_cycle_undoes_an_inherited_list(
    settings: dict[str, Any], schedule: tuple[int, ...]
) -> None:
    inherited = loading.load("small", {"model.dilations": [4, 4, 4]}).to_dict()
    overrides = {f"model.{name}": value for name, value in settings.items()}
    assert loading.parse(loading.override(inherited, overrides)).model.schedule == schedule
    assert inherited["model"]["dilations"] == [4, 4, 4]


def test_a_kernel_size_is_one_number_or_one_for_each_layer() -> None:
    assert ModelConfig(layers=3, kernel_size=4).kernel_sizes == (4, 4, 4)
    assert ModelConfig(layers=3, kernel_size=(2, 3, 4)).kernel_sizes == (2, 3, 4)


def test_a_config_survives_toml(tmp_path: Path) -> None:
    lists = {"model.dilations": [1, 2, 4], "model.kernel_size": [3, 2, 2]}
    others = {"train.learning_rate": 3e-4, "train.validation": "tails"}
    original = loading.load("music", lists | others)
    path = tmp_path / "run.toml"
    path.write_text(original.to_toml(), encoding="utf-8")
    assert loading.load(path) == original
    assert original.train.learning_rate == 3e-4


def test_a_file_without_a_name_is_called_after_itself(tmp_path: Path) -> None:
    (tmp_path / "my voice.toml").write_text("[model]\nlayers = 3")
    assert loading.load(tmp_path / "my voice.toml").name == "my-voice"
    (tmp_path / "evil.toml").write_text('name = "../../escape"')
    with pytest.raises(ConfigError) as e:
        loading.load(tmp_path / "evil.toml")
    assert e.value.subject == f"{tmp_path / 'evil.toml'}: name = ../../escape"


def test_a_preset_is_not_hidden_by_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").write_text("not a config")
    assert loading.load("tiny").name == "tiny"


def test_differences_have_the_old_and_the_new_value() -> None:
    overrides = {"train.steps": 7, "model.dilations": [1], "name": "other"}
    differences = loading.differences(loading.load("small"), loading.load("small", overrides))
    assert differences == {"model.dilations": (None, [1]), "train.steps": (20000, 7)}
    lines = loading.describe(differences)
    assert lines == ["model.dilations: unset -> [1]", "train.steps: 20000 -> 7"]


def test_tails_never_trims() -> None:
    assert loading.load("small").trims
    assert not loading.load("small", {"train.validation": "tails"}).trims


VALUES = {"1": 1, " [1, 2] ": [1, 2], "true": True, "dense": "dense", "'1'": "1", "x=y": "x=y"}


@pytest.mark.parametrize(("text", "value"), [*VALUES.items(), ("", "")])
def test_an_assignments_value_is_toml_or_a_bare_word(text: str, value: object) -> None:
    assert loading.parse_assignments([f" a ={text}"]) == {"a": value}


def test_the_last_assignment_of_a_setting_counts_and_one_without_a_value_is_named() -> None:
    assert loading.parse_assignments(["a=1", "b=2", "a=3"]) == {"a": 3, "b": 2}
    with pytest.raises(UsageError) as e:
        loading.parse_assignments(["a=1", "model.layers"])
    assert (e.value.parameter, e.value.value) == ("set", "model.layers")


# Settings of the preset small, the subject of the error, and a word of it.
WRONG = [
    ("model.layers=0", "model.layers = 0", "must be 1 to 1000"),
    ("model.layers=many", "model.layers = 'many'", "valid integer"),
    ("model.dilation_cycle=100", "model.dilation_cycle = 100", "power of two"),
    ("model.growth=fibonacci model.dilation_cycle=0", "model.dilation_cycle = 0", "1 to"),
    ("model.dilations=[1,0]", "model.dilations = [1, 0]", "0 is not within"),
    ("model.dilations=[]", "model.dilations = []", "1 to 1000 numbers"),
    ("model.dilations=1,2", "model.dilations = '1,2'", "must be a list of integers"),
    ("model.kernel_size=1", "model.kernel_size = 1", "2 to 64 taps"),
    ("model.kernel_size=[2,3]", "model.kernel_size = [2, 3]", "each of 20 layers"),
    ("model.kernel_size=many", "model.kernel_size = 'many'", "valid integer"),
    ('model.kernel_size=[2,"a"]', "model.kernel_size.1 = 'a'", "valid integer"),
    ("model.dilations=[1,2] model.kernel_size=[2,1]", "model.kernel_size = [2, 1]", "2 to 64 taps"),
    ("model.growth=primes", "model.growth = 'primes'", "'fibonacci' or 'coprime'"),
    ("model.layer=deep", "model.layer = 'deep'", "'bottleneck' or 'hybrid'"),
    ("model.context=all", "model.context = 'all'", "'none' or 'pyramid'"),
    ("model.groups=0", "model.groups = 0", "must be 1 to 4096 groups"),
    ("model.groups=5", "model.groups = 5", "32 residual channels and 32, half the gate"),
    ("model.layer=hybrid model.groups=2", "model.groups = 2", 'model.layer = "dense"'),
    ("model.layer=hybrid model.gate_channels=2", "model.gate_channels = 2", "at least 4"),
    ("model.gate_channels=33", "model.gate_channels = 33", "must be even"),
    ("model.bottleneck_channels=8", "model.bottleneck_channels = 8", '"bottleneck" only'),
    ("model.bottleneck_channels=-1", "model.bottleneck_channels = -1", "0 (a quarter of"),
    ("model.pyramid_dilations=[1,0]", "model.pyramid_dilations = [1, 0]", "1 to 2^20"),
    ("model.pyramid_dilations=[]", "model.pyramid_dilations = []", "1 to 16 numbers"),
    ("model.pyramid_window=1", "model.pyramid_window = 1", "must be 2 to 2^20 samples"),
    ("model.context=pyramid model.skip_channels=4", "model.skip_channels = 4", "at least 5"),
    ("model.levels=200", "model.levels = 200", "power of two from 16 to 1024"),
    ("model.levels=8", "model.levels = 8", "power of two from 16 to 1024"),
    ("model.mel_bands=-1", "model.mel_bands = -1", "0 (no mel frames) to 512"),
    ("model.mel_bands=8 model.frame_hop=2000", "model.frame_hop = 2000", "model.frame_window"),
    (
        "model.mel_bands=80 model.mel_high_hz=9000",
        "model.mel_high_hz = 9000.0",
        "at most 8000, half audio.sample_rate",
    ),
    ('model.labels=["a"]', "model.labels = ['a']", "model.label_channels above 0"),
    ('model.labels=["a","a"] model.label_channels=4', "model.labels = ['a', 'a']", "different"),
    ("train.learning_rate=nan", "train.learning_rate = nan", "finite"),
    ("train.learning_rate=-1", "train.learning_rate = -1.0", "must be 1e-09 to 10"),
    ("train.accumulate=3", "train.accumulate = 3", "must be 1 to 2"),
    ("train.validation=half", "train.validation = 'half'", "'files' or 'tails'"),
    ("audio.sample_rate=10", "audio.sample_rate = 10", "must be 1000 to 192000 Hz"),
    ("audio.min_seconds=0", "audio.min_seconds = 0.0", "above 0 and at most 60 s"),
    ("audio.level=loud", "audio.level = 'loud'", "'none' or 'peak'"),
]


@pytest.mark.parametrize(("settings", "subject", "words"), WRONG)
def test_a_wrong_setting_is_named_with_its_rule(settings: str, subject: str, words: str) -> None:
    with pytest.raises(ConfigError) as e:
        loading.load("small", loading.parse_assignments(settings.split()))
    # The preset's file is not to blame.
    assert e.value.subject == subject
    assert words in e.value.reason


def test_a_file_is_blamed_for_what_it_says_and_not_for_overrides() -> None:
    with pytest.raises(ConfigError) as e:
        loading.load("vocoder", {"audio.sample_rate": 8000})
    where = loading.preset_folder() / "vocoder.toml"
    assert e.value.subject == f"{where}: model.mel_high_hz = 8000.0"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("model.layrs", "did you mean model.layers?"),
        ("layers", "did you mean model.layers?"),
        ("modle.layers", "did you mean model.layers?"),
        ("train.lr", "did you mean train.learning_rate?"),
        ("batch_size", "did you mean train.batch?"),
        ("model.num_layers", "did you mean model.layers?"),
        ("model.kernal", "did you mean model.kernel_size?"),
        ("SR", "did you mean audio.sample_rate?"),
        ("train.foo", "`wavenet settings` lists every one"),
    ],
)
def test_the_setting_nearest_to_an_unknown_one_is_proposed(name: str, advice: str) -> None:
    with pytest.raises(ConfigError) as e:
        loading.load("small", {name: 3})
    assert e.value.subject == name
    assert e.value.advice == advice


def test_what_other_programs_call_a_setting_is_none_and_means_one() -> None:
    names = {name.rpartition(".")[2] for name in loading.known_keys()}
    assert not OTHER_NAMES.keys() & names
    assert {*OTHER_NAMES.values()} <= {*loading.known_keys()}


@pytest.mark.parametrize(
    ("text", "subject", "words"),
    [
        ("[model]\nlayrs = 3", ": model.layrs", "unknown setting; did you mean model.layers?"),
        ("[modle]\nlayers = 3", ": modle", "unknown setting; did you mean model?"),
        ("lr = 1e-3", ": lr", "unknown setting; did you mean train.learning_rate?"),
        ("model = 3", ": model = 3", "dict"),
        ("this is not toml", "", "not a TOML file"),
        ("[train]\nlearning_rate = inf", ": train.learning_rate = inf", "finite"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(
    tmp_path: Path, text: str, subject: str, words: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as e:
        loading.load(path)
    assert str(e.value.subject) == f"{path}{subject}"
    assert words in f"{e.value.reason}; {e.value.advice}"
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("smal", "did you mean small?"),
        ("qqqqq", "`wavenet presets` lists them"),
        ("no/such.toml", "no such config file"),
    ],
)
def test_missing_configs_are_named(source: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as e:
        loading.load(source)
    assert str(e.value.subject) == source


def test_a_binary_file_is_not_a_config(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not text"):
        loading.load(tmp_path / "x.toml")


def test_a_byte_order_mark_changes_nothing(tmp_path: Path) -> None:
    file, text = tmp_path / "x.toml", "[train]\nsteps = 7\n"
    file.write_text(text, encoding="utf-8-sig")
    assert loading.load(file).train.steps == 7
    file.write_text(text, encoding="utf-16")
    with pytest.raises(ConfigError) as e:
        loading.load(file)
    assert e.value.advice == "save it as UTF-8"


def test_every_key_of_every_preset_is_known() -> None:
    known = {*loading.flatten(Config().to_dict()), "model.dilations"}
    for name in loading.preset_names():
        assert loading.flatten(loading.load(name).to_dict()).keys() <= known


# Settings given in Python, where nothing has checked their types before.
WRONG_IN_PYTHON = [
    (ModelConfig, {"output": "softmax"}, 'model.output = softmax: must be "mulaw", "logistic" or'),
    (ModelConfig, {"layers": -1}, "model.layers = -1: must be 1 to 1000 layers"),
    (ModelConfig, {"layers": 2.5}, "model.layers = 2.5: must be an integer"),
    (ModelConfig, {"smooth": "no"}, "model.smooth = no: must be true or false"),
    (ModelConfig, {"dilations": "1, 2"}, "must be a list of integers or None"),
    (ModelConfig, {"kernel_size": (2, "3")}, "must be an integer or a list of integers"),
    (ModelConfig, {"labels": "ada"}, "model.labels = ada: must be a list of texts"),
    (AudioConfig, {"min_seconds": "1"}, "audio.min_seconds = 1: must be a number"),
    (TrainConfig, {"validation": "half"}, 'train.validation = half: must be "files" or "tails"'),
    (Config, {"model": "tiny"}, "model = tiny: must be ModelConfig"),
]


@pytest.mark.parametrize(("section", "settings", "message"), WRONG_IN_PYTHON)
def test_a_setting_of_another_type_is_refused_in_python_too(
    section: type, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as e:
        section(**settings)
    assert message in str(e.value)


def test_a_list_is_as_good_as_a_tuple() -> None:
    assert ModelConfig(dilations=[1, 2, 4]) == ModelConfig(dilations=(1, 2, 4))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [((None,), "source"), ((Config(),), "source"), (("",), "source"), (("tiny", [1]), "overrides")],
)
def test_what_no_config_can_be_read_from_is_refused_by_name(arguments: Any, parameter: str) -> None:
    with pytest.raises(UsageError) as e:
        loading.load(*arguments)
    assert e.value.parameter == parameter


def test_a_config_in_a_home_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.toml").write_text(Config(name="own").to_toml())
    assert loading.load("~/mine.toml").name == "own"
