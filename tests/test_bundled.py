"""Models that come with the program."""

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile as sf

from tests.helpers import wavenet
from wavenet.config import loading
from wavenet.errors import CheckpointError
from wavenet.evaluation.metrics import compare
from wavenet.generation.api import load
from wavenet.model import checkpoint, locate
from wavenet.model.cost import model_cost
from wavenet.training import fine_tuning
from wavenet.training.trainer import learning_rate

MODELS = Path(__file__).parent.parent / "models"
STARTER = Path(__file__).parent.parent / "data" / "starter"
SPEECH, FLUTE = STARTER / "speech", STARTER / "instrument" / "flute"
NAME = "demo-voice"
every_model = pytest.mark.parametrize("name", sorted(locate.bundled()))


def card(name: str) -> str:
    """What the model cards say of a model."""
    return (MODELS / "README.md").read_text().partition(f"## {name}\n")[2].partition("\n## ")[0]


def curve(name: str) -> list[dict[str, float]]:
    """What was logged while a model was trained."""
    return [json.loads(line) for line in (MODELS / f"{name}.jsonl").read_text().splitlines()]


def test_a_name_is_enough_to_hear_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = wavenet("generate", NAME, "--seconds", 1.5, "--seed", 3)
    assert said.exit_code == 0, said.stderr
    wav, rate = sf.read(f"{NAME}-3.wav")
    assert (len(wav), rate) == (24000, 16000)
    # This is the level of each tenth of a second.
    loudness = np.sqrt(np.mean(wav.reshape(-1, 1600) ** 2, axis=1))
    assert loudness.max() > 0.02, "it whispers or is silent"
    assert np.mean(np.abs(wav) > 0.98) < 0.001, "it clips"


@every_model
def test_weights_rounded_to_bf16_cost_hardly_a_thousandth_of_a_bit(
    name: str, tmp_path: Path
) -> None:
    """On what a model is made for. That is why they are what `generate` and `vocode` play."""
    plays_notes = name in ("base-instrument", "demo-flute")
    recording = (
        FLUTE / "take12.flac" if plays_notes else SPEECH / "allison" / "demo-abouttotry.flac"
    )
    (tmp_path / "one.flac").symlink_to(recording)
    bits = {}
    for precision in ("fp32", "bf16"):
        call = ("evaluate", name, tmp_path, "--engine", "numba", "--precision", precision)
        said = wavenet(*call, "--json", "--cache", tmp_path / "cache")
        assert said.exit_code == 0, said.stderr
        bits[precision] = json.loads(said.stdout)["bits_per_sample"]
    assert bits["bf16"] != bits["fp32"]
    # Of the flute 0.0009; processors differ in how they add.
    assert bits["bf16"] - bits["fp32"] < 0.0015


@every_model
def test_it_holds_the_averaged_weights_and_nothing_of_its_makers_machine(name: str) -> None:
    path = locate.bundled()[name]
    assert path.stat().st_size < 3_200_000
    model = checkpoint.load(path, resume=False)
    assert model.training.folder == model.config.train.init_from == ""
    assert model.config.name == name
    content = path.read_bytes()
    header_size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_size].decode())
    assert {name.partition(".")[0] for name in header} == {"average", "__metadata__"}
    parameters = sum(a.size for a in model.weights.values())
    assert parameters == model_cost(model.config.model, 16000).parameters


@every_model
def test_its_origin_is_recorded(name: str) -> None:
    training = load(name).training
    for needed in (
        "public domain",
        "**Licence and credit.**",
        f"step {training.step:,}",
        f"{training.validation_bits:.3f} bits",
    ):
        assert needed in card(name).replace("\n", " "), needed
    bits = {m["step"]: m["validation_bits"] for m in curve(name) if "validation_bits" in m}
    assert training.validation_bits == pytest.approx(bits[training.step], abs=1e-5)


@every_model
def test_its_command_is_the_one_that_trained_it(name: str) -> None:
    block = next(b for b in re.findall(r"```sh\n(.*?)```", card(name), re.DOTALL))
    commands = [m.group() for m in re.finditer(r"wavenet train (.*\\\n)*.*", block)]
    words = shlex.split(" ".join(commands))
    # The last command says how long the run became, or is of another run that began from it.
    given = {word: after for word, after in pairwise(words) if word.startswith("--")}
    settings = [after for word, after in pairwise(words) if word == "--set"]
    overrides = loading.parse_assignments([*settings, f"train.steps={given['--steps']}"])
    bases = [after for word, after in pairwise(words) if word == "--init-from"]
    if bases:
        asked = fine_tuning.config_from(load(bases[0]).config, bases[0], None, overrides)
    else:
        asked = loading.load(given["--config"], overrides)
    kept = load(name)
    assert [a.name for a in kept.training.ancestry] == [Path(base).name for base in bases]
    assert asked.model == kept.config.model
    assert asked.train.steps == curve(name)[-1]["step"] >= kept.training.step
    # Every rate is that of its schedule; where one lengthened another, from there on.
    lengths = [0] + [int(after) for word, after in pairwise(words) if word == "--steps"]
    lengths = [0, lengths[-1]] if len(bases) > 1 else lengths
    for line in curve(name):
        if "learning_rate" in line and line["step"] > lengths[-2]:
            expected = learning_rate(line["step"] - 1, asked.train)
            assert line["learning_rate"] == pytest.approx(expected)
    if name == NAME:
        assert (asked.audio, asked.train) == (kept.config.audio, kept.config.train)
    else:
        # What begins from it treats recordings and trains as its preset does.
        # All but what is set for those.
        preset = re.search(r"--preset (\S+) (?:\\\n *)?(?:--set (\S+) )?", card(name))
        assert preset
        usual = loading.load(preset[1], loading.parse_assignments(filter(None, [preset[2]])))
        assert (usual.audio, usual.train) == (kept.config.audio, kept.config.train)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "folder", "at_most"),
    [
        ("base-speech", SPEECH / "carlo", 3.9),
        ("base-music", SPEECH.parent / "music", 1.6),
        ("base-instrument", SPEECH.parent / "instrument", 5.2),
    ],
)
def test_a_run_that_begins_from_a_base_knows_much_after_a_few_steps(
    name: str, folder: Path, at_most: float, tmp_path: Path
) -> None:
    """Of a voice and of instruments that the base has not heard."""
    options = ("--steps", 4, "--set", "train.validation=tails", "--cache", tmp_path / "cache")
    run, silent = tmp_path / "run", ("--set", "train.sample_seconds=0")
    said = wavenet(
        "train", folder, "--init-from", name, *options, *silent, "--out", run, "--device", "cpu"
    )
    assert said.exit_code == 0, said.stderr
    training = load(run).training
    assert training.ancestry[-1].name == name
    # From nothing it would still be at 8.
    assert training.validation_bits is not None
    assert training.validation_bits < at_most


def test_a_file_of_that_name_comes_first_and_other_names_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(NAME).mkdir()
    for name in (NAME, "demo-voce"):
        with pytest.raises(CheckpointError) as e:
            load(name)
        assert str(e.value.subject) == name


def test_a_voice_that_the_vocoder_never_heard_is_made_again(tmp_path: Path) -> None:
    recording, copy = SPEECH / "allison" / "vm-intro.flac", tmp_path / "copy.wav"
    said = wavenet("vocode", "demo-vocoder", recording, "--seed", 1, "-o", copy)
    assert said.exit_code == 0, said.stderr
    made, rate = sf.read(copy, dtype="float32")
    wav = librosa.load(recording, sr=rate)[0][: len(made)]
    likeness = compare(wav, made, rate, load("demo-vocoder").config.model)
    assert likeness.stoi is not None
    assert likeness.pitch_accuracy is not None
    assert likeness.stoi > 0.8
    assert likeness.pitch_accuracy > 0.6


@pytest.mark.slow
def test_it_can_be_looked_into_as_a_run_can(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 16000)
    said = wavenet("receptive-field", NAME, "--on", tmp_path / "a.wav")
    assert said.exit_code == 0, said.stderr
    assert "demo-voice: hears 2,047 samples" in said.stdout
    assert "half" in said.stdout
