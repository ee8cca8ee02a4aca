"""Runs of networks that are told something: as users start, resume, hear and score them."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile as sf
from typer.testing import CliRunner, Result

from tests.conftest import BOTH, SMALL, VOCODER, VOICES, noisy, tone
from wavenet.cli.main import app
from wavenet.config import Config, ModelConfig
from wavenet.model import checkpoint, locate


def wavenet(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


def fails(*args: object) -> str:
    result = wavenet(*args)
    assert result.exit_code == 1, result.output
    return result.stderr.strip().splitlines()[-1]


def written(config: Config, model: ModelConfig, tmp_path: Path) -> Path:
    path = tmp_path / "told.toml"
    path.write_text(
        replace(config, model=model, train=replace(config.train, sample_seconds=0.1)).to_toml(),
        encoding="utf-8",
    )
    return path


@pytest.fixture
def voices(make_folder: Callable[..., Path]) -> Path:
    return make_folder({f"{who}/{i}.wav": tone(0.6, hertz=f + 9 * i) + noisy(0.6, seed=i, amplitude=0.02)
                        for who, f in (("ada", 150), ("bob", 290)) for i in range(3)})  # fmt: skip


def test_labels_from_folders_to_clips(voices: Path, small_config: Config, tmp_path: Path) -> None:
    path, run = written(small_config, replace(VOICES, labels=()), tmp_path), tmp_path / "run"
    trained = wavenet("train", voices, "--config", path, "-o", run)
    assert trained.exit_code == 0, trained.output
    assert re.search(
        r"labels     ada 1\.\d s, bob 1\.\d s", trained.output
    )  # what there is to train on
    assert f"wavenet generate {run}" in trained.output
    assert list((run / "samples").glob("*.wav"))
    stored = checkpoint.load(locate.find(run))
    assert stored.config.model.labels == ("ada", "bob")
    made = wavenet(
        "generate", run, "--seconds", 0.1, "--seed", 1, "--count", 3, "-o", tmp_path / "x.wav"
    )
    assert [line.rsplit(", ")[-1] for line in made.stdout.splitlines()[-3:]] == [
        "ada",
        "bob",
        "ada",
    ]
    one = wavenet(
        "generate", run, "--seconds", 0.1, "--seed", 1, "--label", "bob", "-o", tmp_path / "y.wav"
    )
    assert one.exit_code == 0
    assert "--label eve: unknown; the model knows ada, bob" in fails(
        "generate", run, "--label", "eve", "-o", tmp_path / "z.wav"
    )
    assert not (tmp_path / "z.wav").exists()
    for way in ((), ("--config", path)):  # a preset does not name labels, and need not
        again = wavenet("train", voices, *way, "-o", run)
        assert "is at step 10 already" in again.output
    (voices / "cyd").mkdir()
    sf.write(voices / "cyd" / "new.wav", tone(0.5), 8000)
    assert "has the label cyd, which this network does not know (ada, bob)" in fails(
        "train", voices, "-o", run, "--accept-changes"
    )


def test_labels_from_a_table_and_from_names(
    make_folder: Callable[..., Path],
    small_config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = make_folder(
        {
            f"{who}_{i}.wav": noisy(0.3, seed=i, amplitude=f)
            for who, f in (("ada", 0.1), ("bob", 0.2))
            for i in range(2)
        }
    )
    path = written(small_config, replace(VOICES, labels=()), tmp_path)
    assert "has no subfolders to take labels from" in fails(
        "train", folder, "--config", path, "-o", tmp_path / "a"
    )
    trained = wavenet(
        "train",
        folder,
        "--config",
        path,
        "-o",
        tmp_path / "b",
        "--label-from",
        r"(?P<label>[a-z]+)_\d+",
    )
    assert re.search(r"labels     ada 0\.\d s, bob 0\.\d s", trained.output)
    again = wavenet("train", "-o", tmp_path / "b")
    assert "is at step 10 already" in again.output
    for way in ("folder", "folder2"):
        plain = fails(
            "train", folder, "--config", "tiny", "-o", tmp_path / "d", "--label-from", way
        )
        assert "this configuration takes no labels; use --config voices" in plain
    rows = [f"{p.name},voice {i % 2}" for i, p in enumerate(sorted(folder.glob("*.wav")))]
    (folder / "who.csv").write_text("\n".join(["file,label", *rows]))
    trained = wavenet(
        "train", folder, "--config", path, "-o", tmp_path / "c", "--label-from", "who.csv"
    )
    assert re.search(r"labels     voice 0 0\.\d s, voice 1 0\.\d s", trained.output)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(folder)
    assert (
        wavenet(
            "train", folder, "--config", path, "-o", tmp_path / "e", "--label-from", "who.csv"
        ).exit_code
        == 0
    )
    monkeypatch.chdir(elsewhere)
    assert "is at step 10 already" in wavenet("train", "-o", tmp_path / "e").output


@pytest.mark.parametrize(
    "model", [VOCODER, replace(BOTH, labels=())], ids=["mel", "labels and mel"]
)
@pytest.mark.parametrize("output", ["mulaw", "logistic"])
def test_a_vocoder_is_trained_heard_and_scored(
    voices: Path, small_config: Config, tmp_path: Path, model: ModelConfig, output: str
) -> None:
    path, run = (
        written(small_config, replace(model, output=output, mixtures=3), tmp_path),
        tmp_path / "run",
    )
    trained = wavenet("train", voices, "--config", path, "-o", run)
    assert trained.exit_code == 0, trained.output
    assert "frames     6 mel bands from 0 to 4000 Hz every 8 samples (1.0 ms)" in trained.output
    assert f"wavenet vocode {run} RECORDING" in trained.output
    assert "`wavenet vocode` takes a recording" in fails("generate", run, "-o", tmp_path / "no.wav")
    label = ("--label", "bob") if model.label_channels else ()
    said = wavenet(
        "vocode", run, voices / "ada" / "0.wav", "--seed", 1, *label, "-o", tmp_path / "said.wav"
    )
    assert said.exit_code == 0, said.output
    assert len(sf.read(tmp_path / "said.wav")[0]) == 4800
    ways = {}
    for engine in ("parallel", "numba", "reference"):
        result = wavenet(
            "evaluate",
            run,
            voices,
            "--engine",
            engine,
            "--json",
            "--vocoded",
            0 if engine == "reference" else 2,
        )
        assert result.exit_code == 0, result.output
        ways[engine] = json.loads(result.stdout)
    for found in ways.values():
        assert found["bits_per_sample"] == pytest.approx(
            ways["parallel"]["bits_per_sample"], rel=1e-5
        )
    vocoded = ways["parallel"]["vocoded"]
    assert vocoded["recordings"] == 2
    assert vocoded["model"]["mel_db"] > 0
    assert vocoded["griffin_lim"]["spectral_convergence"] > 0
    assert ways["reference"]["vocoded"] is None
    table = wavenet("evaluate", run, voices, "--vocoded", 1)
    assert "Griffin-Lim" in table.output


def test_a_conditioned_run_goes_on_as_if_never_interrupted(
    voices: Path, small_config: Config, tmp_path: Path
) -> None:
    path = written(small_config, replace(BOTH, labels=()), tmp_path)
    for name, *stop in (("whole",), ("half", "--stop-at", 5), ("half",)):
        assert (
            wavenet("train", voices, "--config", path, "-o", tmp_path / name, *stop).exit_code == 0
        )
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
    voices: Path, small_config: Config, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    wavenet(
        "train",
        voices,
        "--config",
        written(small_config, replace(VOICES, labels=()), tmp_path),
        "-o",
        run,
    )
    by_folder, ada, bob = (
        json.loads(wavenet("evaluate", run, folder, *how, "--json").stdout)["bits_per_sample"]
        for folder, how in (
            (voices, ()),
            (voices, ("--label", "ada")),
            (voices, ("--label", "bob")),
        )
    )
    assert len({by_folder, ada, bob}) == 3
    assert "has no subfolders" in fails("evaluate", run, voices / "ada")
    assert "--label eve: unknown" in fails("evaluate", run, voices, "--label", "eve")
    found = []
    for engine in ("numba", "reference"):
        found.append(
            json.loads(wavenet("evaluate", run, voices, "--engine", engine, "--json").stdout)[
                "bits_per_sample"
            ]
        )
    assert found == pytest.approx([by_folder] * 2, rel=1e-5)


def test_less_memory_and_less_precision_train_a_conditioned_network(
    voices: Path, small_config: Config, tmp_path: Path
) -> None:
    path = written(small_config, replace(BOTH, labels=()), tmp_path)
    bits = {}
    for setting in (
        "train.seed=3",
        "train.accumulate=3",
        "train.checkpoint_layers=2",
        "train.precision=bf16",
    ):
        trained = wavenet(
            "train", voices, "--config", path, "-o", tmp_path / setting, "--set", setting
        )
        assert trained.exit_code == 0, trained.output
        lines = (tmp_path / setting / "metrics.jsonl").read_text().splitlines()
        bits[setting] = [
            m["validation_bits"] for m in map(json.loads, lines) if "validation_bits" in m
        ]
    plain, parts, groups, bf16 = bits.values()
    assert parts == pytest.approx(plain, abs=1e-3)
    assert groups == plain
    assert bf16 == pytest.approx(plain, abs=0.05)
    assert "in bf16 on" in trained.output


def test_labels_that_change_between_sittings_are_noticed(
    voices: Path, small_config: Config, tmp_path: Path
) -> None:
    path, run = written(small_config, replace(VOICES, labels=()), tmp_path), tmp_path / "run"
    wavenet("train", voices, "--config", path, "-o", run, "--stop-at", 5)
    (voices / "ada").rename(voices / "x")
    (voices / "bob").rename(voices / "ada")
    (voices / "x").rename(voices / "bob")
    line = fails("train", voices, "-o", run)
    assert "add --accept-changes" in line
    assert "changed" in line  # the same names, other content
    table = voices / "who.csv"
    names = sorted(p.relative_to(voices).as_posix() for p in voices.rglob("*.wav"))
    table.write_text("\n".join(f"{n},{n.split('/')[0]}" for n in names))
    other = tmp_path / "other"
    wavenet("train", voices, "--config", path, "-o", other, "--stop-at", 5, "--label-from", table)
    swapped = {"ada": "bob", "bob": "ada"}
    table.write_text("\n".join(f"{n},{swapped[n.split('/')[0]]}" for n in names))
    assert "6 relabelled (ada/0.wav: ada -> bob)" in fails("train", voices, "-o", other)


def test_labels_are_read_again_as_long_as_nothing_was_trained(
    voices: Path, small_config: Config, tmp_path: Path
) -> None:
    path, run = written(small_config, replace(VOICES, labels=()), tmp_path), tmp_path / "run"
    wavenet("train", voices, "--config", path, "-o", run, "--stop-at", 1)
    for checkpoint_file in (run / "checkpoints").iterdir():
        checkpoint_file.unlink()
    (voices / "bob").rename(voices / "rob")
    assert re.search(r"labels     ada .*, rob ", wavenet("train", voices, "-o", run).output)


def test_no_label_loses_all_its_recordings_to_validation(
    make_folder: Callable[..., Path], small_config: Config, tmp_path: Path
) -> None:
    folder = make_folder({f"{who}/only.wav": noisy(0.4, seed=i) for i, who in enumerate("abcdef")})
    path = written(small_config, replace(VOICES, labels=()), tmp_path)
    assert fails(
        "train", folder, "--config", path, "-o", tmp_path / "a", "--set", "train.validation=tails"
    ).endswith("use files")
    trained = wavenet("train", folder, "--config", path, "-o", tmp_path / "b")
    assert trained.exit_code == 0, trained.output
    assert len(re.findall(r"[a-f] 0\.4 s", trained.output)) == 6
    more = make_folder(
        {"a/long.wav": noisy(1.5), "b/short.wav": noisy(0.4), "a/b.wav": noisy(1.2, seed=2)},
        name="more",
    )
    line = fails(
        "train", more, "--config", path, "-o", tmp_path / "c", "--set", "train.validation=tails"
    )
    assert "validation leaves nothing to train on of b" in line


def test_bands_that_hear_nothing_are_refused_before_recordings_are_read(
    voices: Path, small_config: Config, tmp_path: Path
) -> None:
    path = written(small_config, replace(VOCODER, mel_bands=60), tmp_path)
    assert "of them would hear nothing" in fails(
        "train", voices, "--config", path, "-o", tmp_path / "run"
    )
    assert not (tmp_path / "run").exists()


def test_options_that_would_mean_nothing_are_refused(
    voices: Path, small_config: Config, tmp_path: Path
) -> None:
    run, plain = tmp_path / "run", tmp_path / "plain"
    wavenet(
        "train",
        voices,
        "--config",
        written(small_config, replace(VOICES, labels=()), tmp_path),
        "-o",
        run,
    )
    wavenet("train", voices, "--config", written(small_config, SMALL, tmp_path), "-o", plain)
    assert "--vocoded -1: must be 0" in fails("evaluate", run, voices, "--vocoded", -1)
    assert "give one of them" in fails(
        "evaluate", run, voices, "--label", "ada", "--label-from", "folder"
    )
    assert "trained without labels" in fails("evaluate", plain, voices, "--label-from", "folder")
    assert "trained without labels" in fails("evaluate", plain, voices, "--label", "ada")
    assert "2 labels for 1 clips" in fails(
        "generate", run, "--label", "ada", "--label", "bob", "--count", 1
    )
    both = wavenet(
        "generate",
        run,
        "--label",
        "ada",
        "--label",
        "bob",
        "--seconds",
        0.05,
        "-o",
        tmp_path / "x.wav",
    )
    assert [line.rsplit(", ")[-1] for line in both.stdout.splitlines()[-2:]] == ["ada", "bob"]
    assert "model.labels = ['a']: needs model.label_channels above 0" in fails(
        "train", voices, "--set", 'model.labels=["a"]'
    )
    (voices / "zed").mkdir()
    sf.write(voices / "zed" / "z.wav", tone(0.5), 8000)
    assert (
        "zed/z.wav has the label zed, and the model knows ada, bob; --label gives one to all"
        in fails("evaluate", run, voices)
    )


def test_scores_survive_an_interrupted_comparison(
    voices: Path, small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    wavenet("train", voices, "--config", written(small_config, VOCODER, tmp_path), "-o", run)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wavenet.cli.evaluate.resynthesize", interrupted)
    shown = wavenet("evaluate", run, voices)
    assert shown.exit_code == 0
    assert "by linear prediction" in shown.stdout
    assert "interrupted: nothing was said again" in shown.stdout
    assert json.loads(wavenet("evaluate", run, voices, "--json").stdout)["vocoded"] is None
