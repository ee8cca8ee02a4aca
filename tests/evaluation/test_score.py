"""`wavenet.score` gives the figures of `wavenet evaluate`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import soxr

import wavenet
from tests.helpers import SMALL, VOICES, as_checkpoint, network, noisy, tone, write_recordings
from tests.helpers import wavenet as command
from wavenet.errors import AudioError, CorpusError, UsageError

WAVS = {"a.wav": tone(1.2).astype(np.float32), "b.wav": noisy(0.4).astype(np.float32)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    as_checkpoint(network(SMALL)).save(path)
    return path


def evaluated(*args: object) -> dict[str, Any]:
    result = command("evaluate", *args, "--json")
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def test_a_folder_its_files_and_what_they_hold_score_as_evaluate_says(
    model: Path, tmp_path: Path
) -> None:
    folder = write_recordings(tmp_path / "two", WAVS)
    expected = evaluated(model, folder)
    a, b = WAVS.values()
    given: list[Any] = [
        folder,
        str(folder),
        [folder / "a.wav", folder / "b.wav"],
        [a, b],
        [(a, 8000), b],
    ]
    for recordings in given:
        score = wavenet.score(model, recordings)
        for name in ("bits_per_sample", "unigram_bits", "bigram_bits", "lpc_bits", "samples"):
            assert getattr(score, name) == pytest.approx(expected[name], abs=1e-6)
    files = [file["bits_per_sample"] for file in expected["files"]]
    for wav, path, bits in zip(WAVS.values(), WAVS, files, strict=True):
        for recording in (wav, folder / path):
            assert wavenet.score(model, recording).bits_per_sample == pytest.approx(bits, abs=1e-6)
    tails = wavenet.score(model, folder, split="tails", engine="numba")
    expected = evaluated(model, folder, "--split", "tails")
    assert tails.bits_per_sample == pytest.approx(expected["bits_per_sample"], abs=1e-5)


def test_other_rates_are_resampled(model: Path, tmp_path: Path) -> None:
    fast = tone(0.5, 24000).astype(np.float32)
    sf.write(tmp_path / "fast.wav", fast, 24000, subtype="FLOAT")
    scores = [
        wavenet.score(model, recording).bits_per_sample
        for recording in ((fast, 24000), wavenet.Audio(fast, 24000), tmp_path / "fast.wav")
    ]
    assert scores[0] == scores[1] == scores[2]
    alone = wavenet.score(model, soxr.resample(fast, 24000, 8000))
    assert scores[0] == pytest.approx(alone.bits_per_sample, abs=1e-6)


def test_a_label_counts() -> None:
    voices = as_checkpoint(network(VOICES))
    ada, bob = (wavenet.score(voices, WAVS["b.wav"], label=who) for who in ("ada", "bob"))
    assert ada.bits_per_sample != bob.bits_per_sample


def test_what_cannot_be_scored_is_said_by_name(model: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as e:
        wavenet.score(model, np.zeros(8000))
    assert str(e.value).startswith(
        "`recordings`: none of its 1 audio files can be used; recordings.wav"
    )
    with pytest.raises(CorpusError, match="`recordings`: holds none"):
        wavenet.score(model, [])
    with pytest.raises(CorpusError, match="nowhere: no such file or folder"):
        wavenet.score(model, tmp_path / "nowhere")
    with pytest.raises(UsageError, match="`split` half: must be one of all, tails"):
        wavenet.score(model, tmp_path, split="half")
    a, b = WAVS.values()
    with pytest.raises(UsageError, match="`recordings`: lists paths and arrays; read the files"):
        wavenet.score(model, [tmp_path, a])
    with pytest.raises(AudioError, match=r"`recordings`: is a tuple, .* recordings are a list"):
        wavenet.score(model, (a, b))  # type: ignore[arg-type]
    with pytest.raises(AudioError, match=r"`recordings\[1\]`: is of type NoneType"):
        wavenet.score(model, [a, None])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="`recordings`: is empty"):
        wavenet.score(model, "")
    with pytest.raises(UsageError, match="`device` None: not available"):
        wavenet.score(model, a, device=None)  # type: ignore[arg-type]


def test_a_score_is_a_line_and_names_what_was_in_memory_by_its_place(model: Path) -> None:
    wavs = [tone(0.2, hertz=100 + 10 * i) for i in range(11)]
    result = wavenet.score(model, [*wavs, np.zeros(8000)])
    assert [file.file for file in result.files] == [f"recordings[{i:02d}].wav" for i in range(11)]
    assert [file.name for file in result.skipped] == ["recordings[11].wav"]
    bits = f"{result.bits_per_sample:.3f} bits per sample of 17,600 samples"
    assert repr(result) == f"<wavenet.Score: {bits} in 11 recordings, 1 skipped>"


def test_recordings_of_a_home_folder_are_found(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(write_recordings(tmp_path, WAVS)))
    assert len(wavenet.score(model, ["~/a.wav", "~/b.wav"]).files) == 2
