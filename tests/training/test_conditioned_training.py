"""Runs of conditioned networks, as users start, resume, listen to and score them."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile as sf

from tests.helpers import BOTH, VOCODER, VOICES, fails, noisy, tone, wavenet
from wavenet.config import Config, ModelConfig
from wavenet.model import checkpoint, locate

LABELS = replace(VOICES, labels=())
LABELS_AND_MEL = replace(BOTH, labels=())


@pytest.fixture
def voices(make_folder: Callable[..., Path]) -> Path:
    """Two folders, each with three recordings of a voice."""
    recordings = {}
    for who, hertz in (("ada", 150), ("bob", 290)):
        for i in range(3):
            noise = noisy(0.6, seed=i, amplitude=0.02)
            recordings[f"{who}/{i}.wav"] = tone(0.6, hertz=hertz + 9 * i) + noise
    return make_folder(recordings)


ConfigOf = Callable[[ModelConfig], Path]


@pytest.fixture
def config_of(small_config: Config, tmp_path: Path) -> ConfigOf:
    """config_of(model) writes a config file, whose training renders samples of 0.1 s."""

    def write(model: ModelConfig) -> Path:
        path = tmp_path / "conditioned.toml"
        train = replace(small_config.train, sample_seconds=0.1)
        config = replace(small_config, model=model, train=train)
        path.write_text(config.to_toml(), encoding="utf-8")
        return path

    return write


def train(folder: Path, config: Path, run: Path, *options: object) -> str:
    """What training a new run prints."""
    trained = wavenet("train", folder, "--config", config, "-o", run, *options)
    assert trained.exit_code == 0, trained.output
    return trained.output


def test_labels_from_folders_to_clips(voices: Path, config_of: ConfigOf, tmp_path: Path) -> None:
    path, run = config_of(LABELS), tmp_path / "run"
    output = train(voices, path, run)
    # The seconds are those of the training set.
    assert re.search(r"labels     ada 1\.\d s, bob 1\.\d s", output)
    assert f"wavenet generate {run}" in output
    assert list((run / "samples").glob("*.wav"))
    stored = checkpoint.load(locate.find(run))
    assert stored.config.model.labels == ("ada", "bob")
    generate = ("generate", run, "--seconds", 0.1, "--seed", 1)
    three = wavenet(*generate, "--count", 3, "-o", tmp_path / "x.wav")
    labels = [line.rsplit(", ")[-1] for line in three.stdout.splitlines()[-3:]]
    assert labels == ["ada", "bob", "ada"]
    two = wavenet(*generate, "--label", "bob", "--label", "ada", "-o", tmp_path / "y.wav")
    assert [line.rsplit(", ")[-1] for line in two.stdout.splitlines()[-2:]] == ["bob", "ada"]
    # A preset does not name labels, and need not.
    for config in ((), ("--config", path)):
        again = wavenet("train", voices, *config, "-o", run)
        assert "is at step 10 already" in again.output
    (voices / "cyd").mkdir()
    sf.write(voices / "cyd" / "new.wav", tone(0.5), 8000)
    message = fails("train", voices, "-o", run, "--accept-changes")
    assert "has the label cyd, which this network does not know (ada, bob)" in message


def test_speakers_with_chapters_are_offered_as_labels_of_their_own(
    make_folder: Callable[..., Path], config_of: ConfigOf, tmp_path: Path
) -> None:
    names = [f"{who}/{chapter}/{i}.wav" for who in (19, 26) for chapter in (1, 2) for i in (1, 2)]
    folder = make_folder({name: noisy(0.6, seed=i) for i, name in enumerate(names)})
    path, run = config_of(LABELS), tmp_path / "run"
    offer = "to take the 2 outer ones (19, 26), add --label-depth 1"
    lines = train(folder, path, tmp_path / "all", "--dry-run").splitlines()
    (number,) = [i for i, line in enumerate(lines) if line.startswith("labels")]
    assert re.match(r"labels     19/1 \S+ s, 19/2 \S+ s, 26/1 \S+ s, 26/2 \S+ s$", lines[number])
    assert lines[number + 1].endswith(offer)
    output = train(folder, path, run, "--label-depth", 1)
    assert re.search(r"labels     19 \S+ s, 26 \S+ s\n", output)
    assert "--label-depth" not in output
    # The run keeps it, and so does scoring with its model.
    assert "is at step 10 already" in wavenet("train", folder, "-o", run).output
    assert wavenet("evaluate", run, folder).exit_code == 0
    message = fails("train", folder, "-o", run, "--label-depth", 0)
    assert "train.label_depth: 1 -> 0" in message
    assert "cannot change" in message


def test_labels_from_a_table_and_from_names(
    make_folder: Callable[..., Path],
    config_of: ConfigOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recordings = {
        f"{who}_{i}.wav": noisy(0.3, seed=i, amplitude=amplitude)
        for who, amplitude in (("ada", 0.1), ("bob", 0.2))
        for i in range(2)
    }
    folder = make_folder(recordings)
    path = config_of(LABELS)
    pattern = r"(?P<label>[a-z]+)_\d+"
    output = train(folder, path, tmp_path / "b", "--label-from", pattern)
    assert re.search(r"labels     ada 0\.\d s, bob 0\.\d s", output)
    again = wavenet("train", "-o", tmp_path / "b")
    assert "is at step 10 already" in again.output
    rows = [f"{p.name},voice {i % 2}" for i, p in enumerate(sorted(folder.glob("*.wav")))]
    (folder / "who.csv").write_text("\n".join(["file,label", *rows]))
    output = train(folder, path, tmp_path / "c", "--label-from", "who.csv")
    assert re.search(r"labels     voice 0 0\.\d s, voice 1 0\.\d s", output)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(folder)
    train(folder, path, tmp_path / "e", "--label-from", "who.csv")
    monkeypatch.chdir(elsewhere)
    assert "is at step 10 already" in wavenet("train", "-o", tmp_path / "e").output


@pytest.mark.parametrize(
    ("model", "output"),
    [
        (VOCODER, "mulaw"),
        (LABELS_AND_MEL, "logistic"),
        pytest.param(VOCODER, "logistic", marks=pytest.mark.slow),
        pytest.param(LABELS_AND_MEL, "mulaw", marks=pytest.mark.slow),
    ],
    ids=["mel-mulaw", "labels and mel-logistic", "mel-logistic", "labels and mel-mulaw"],
)
def test_a_vocoder_is_trained_played_and_scored(
    voices: Path, config_of: ConfigOf, tmp_path: Path, model: ModelConfig, output: str
) -> None:
    run = tmp_path / "run"
    shown = train(voices, config_of(replace(model, output=output, mixtures=3)), run)
    assert "frames     6 mel bands from 0 to 4000 Hz, every 8 samples (1.0 ms)" in shown
    assert f"wavenet vocode {run} RECORDING" in shown
    assert "`vocode` takes a recording" in fails("generate", run, "-o", tmp_path / "no.wav")
    label = ("--label", "bob") if model.label_channels else ()
    source, out = voices / "ada" / "0.wav", tmp_path / "resynthesized.wav"
    resynthesized = wavenet("vocode", run, source, "--seed", 1, *label, "-o", out)
    assert resynthesized.exit_code == 0, resynthesized.output
    assert len(sf.read(out)[0]) == 4800
    # Two are enough to compare engines by.
    for i in (1, 2):
        for who in ("ada", "bob"):
            (voices / who / f"{i}.wav").unlink()
    reports = {}
    for engine in ("parallel", "numba", "reference"):
        vocoded = 0 if engine == "reference" else 2
        options = ("--engine", engine, "--json", "--vocoded", vocoded)
        result = wavenet("evaluate", run, voices, *options)
        assert result.exit_code == 0, result.output
        reports[engine] = json.loads(result.stdout)
    expected = reports["parallel"]["bits_per_sample"]
    for report in reports.values():
        assert report["bits_per_sample"] == pytest.approx(expected, rel=1e-5)
    vocoded = reports["parallel"]["vocoded"]
    assert vocoded["recordings"] == 2
    assert vocoded["model"]["mel_db"] > 0
    assert vocoded["griffin_lim"]["spectral_convergence"] > 0
    assert reports["reference"]["vocoded"] is None
    table = wavenet("evaluate", run, voices, "--vocoded", 1)
    assert "Griffin-Lim" in table.output


def test_a_resumed_conditioned_run_equals_an_uninterrupted_one(
    voices: Path, config_of: ConfigOf, tmp_path: Path
) -> None:
    path = config_of(LABELS_AND_MEL)
    for name, *stop in (("whole",), ("half", "--stop-at", 5), ("half",)):
        train(voices, path, tmp_path / name, *stop)
    whole, half = (
        locate.load_latest(tmp_path / name / "checkpoints", resume=True)
        for name in ("whole", "half")
    )
    assert whole is not None
    assert half is not None
    assert whole.arrays.keys() == half.arrays.keys()
    for name, array in whole.arrays.items():
        assert (half.arrays[name] == array).all(), name


def test_evaluating_needs_labels_and_takes_one_for_all(
    voices: Path, config_of: ConfigOf, tmp_path: Path
) -> None:
    path, run = config_of(LABELS), tmp_path / "run"
    train(voices, path, run)

    def bits(*options: str) -> float:
        report = json.loads(wavenet("evaluate", run, voices, *options, "--json").stdout)
        return float(report["bits_per_sample"])

    by_folder, ada, bob = bits(), bits("--label", "ada"), bits("--label", "bob")
    assert len({by_folder, ada, bob}) == 3
    assert bits("--engine", "numba") == pytest.approx(by_folder, rel=1e-5)


def test_less_memory_and_less_precision_train_a_conditioned_network(
    voices: Path, config_of: ConfigOf, tmp_path: Path
) -> None:
    path = config_of(LABELS_AND_MEL)
    bits = {}
    for setting in (
        "train.seed=3",
        "train.accumulate=3",
        "train.checkpoint_layers=2",
        "train.precision=bf16",
    ):
        output = train(voices, path, tmp_path / setting, "--set", setting)
        lines = (tmp_path / setting / "metrics.jsonl").read_text().splitlines()
        bits[setting] = [
            m["validation_bits"] for m in map(json.loads, lines) if "validation_bits" in m
        ]
    plain, accumulated, checkpointed, bf16 = bits.values()
    assert accumulated == pytest.approx(plain, abs=1e-3)
    assert checkpointed == plain
    assert bf16 == pytest.approx(plain, abs=0.05)
    assert "in bf16 on" in output


def test_labels_that_change_between_runs_are_noticed(
    voices: Path, config_of: ConfigOf, tmp_path: Path
) -> None:
    path, run = config_of(LABELS), tmp_path / "run"
    train(voices, path, run, "--stop-at", 5)
    (voices / "ada").rename(voices / "x")
    (voices / "bob").rename(voices / "ada")
    (voices / "x").rename(voices / "bob")
    # The files have the same names, and other content.
    line = fails("train", voices, "-o", run)
    assert "add --accept-changes" in line
    assert "changed" in line
    table = voices / "who.csv"
    names = sorted(p.relative_to(voices).as_posix() for p in voices.rglob("*.wav"))
    table.write_text("\n".join(f"{n},{n.split('/')[0]}" for n in names))
    other = tmp_path / "other"
    train(voices, path, other, "--stop-at", 5, "--label-from", table)
    swapped = {"ada": "bob", "bob": "ada"}
    table.write_text("\n".join(f"{n},{swapped[n.split('/')[0]]}" for n in names))
    assert "6 relabelled (ada/0.wav: ada -> bob)" in fails("train", voices, "-o", other)


def test_labels_are_read_again_as_long_as_nothing_was_trained(
    voices: Path, config_of: ConfigOf, tmp_path: Path
) -> None:
    path, run = config_of(LABELS), tmp_path / "run"
    train(voices, path, run, "--stop-at", 1)
    for checkpoint_file in (run / "checkpoints").iterdir():
        checkpoint_file.unlink()
    (voices / "bob").rename(voices / "rob")
    assert re.search(r"labels     ada .*, rob ", wavenet("train", voices, "-o", run).output)


def test_no_label_loses_all_its_recordings_to_validation(
    make_folder: Callable[..., Path], config_of: ConfigOf, tmp_path: Path
) -> None:
    folder = make_folder({f"{who}/only.wav": noisy(0.4, seed=i) for i, who in enumerate("abcdef")})
    path = config_of(LABELS)
    tails = ("--config", path, "--set", "train.validation=tails")
    assert fails("train", folder, *tails, "-o", tmp_path / "a").endswith("use files")
    output = train(folder, path, tmp_path / "b")
    assert len(re.findall(r"[a-f] 0\.4 s", output)) == 6
    recordings = {
        "a/long.wav": noisy(1.5),
        "b/short.wav": noisy(0.4),
        "a/b.wav": noisy(1.2, seed=2),
    }
    more = make_folder(recordings, name="more")
    line = fails("train", more, *tails, "-o", tmp_path / "c")
    assert "validation leaves nothing to train on of b" in line


def test_scores_survive_an_interrupted_comparison(
    voices: Path, config_of: ConfigOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    train(voices, config_of(VOCODER), run)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wavenet.evaluation.copy_synthesis.resynthesize", interrupted)
    shown = wavenet("evaluate", run, voices)
    assert shown.exit_code == 130
    assert "by linear prediction" in shown.stdout
    assert "interrupted: nothing was resynthesised" in shown.stdout
    assert json.loads(wavenet("evaluate", run, voices, "--json").stdout)["vocoded"] is None
