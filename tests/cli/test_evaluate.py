"""`wavenet evaluate`: its lines, and the keys of its JSON."""

import json
from pathlib import Path

from tests.helpers import matches, wavenet


def test_a_line_for_each_file_and_the_baselines(model: Path, training_folder: Path) -> None:
    (training_folder / "text.wav").write_text("not audio")
    printed = wavenet("evaluate", model, training_folder).stdout
    transcript = f"""checkpoint of step 0 on 6 recordings of {training_folder} at 8000 Hz
   bits     samples  file
  6.6...       9,600  0.wav
  6.6...       9,600  1.wav
  6.5...       9,600  2.wav
  6.5...       9,600  3.wav
  6.4...       9,600  4.wav
  6.2...       1,200  short.wav
            skipped  text.wav: cannot be read as audio (...)
6.5... bits per sample over 49,200 samples (6.2 s): every sample
17.3... bits per 16-bit sample, with those of one level alike: to compare with 16-bit models
3.9... by how often each level occurs, 2.0... knowing the sample before (counted on ...)
1.0... by linear prediction of order 24
"""
    assert matches(printed, transcript), printed


def test_json_has_the_promised_keys(model: Path, training_folder: Path) -> None:
    (training_folder / "text.wav").write_text("not audio")
    options = ("--split", "tails", "--engine", "numba", "--json")
    scores = json.loads(wavenet("evaluate", model, training_folder, *options).stdout)
    assert scores.keys() == {
        "bits_per_sample", "bits_per_16bit_sample", "unigram_bits", "bigram_bits", "lpc_bits",
        "samples", "files", "skipped", "vocoded",
        "model", "step", "sample_rate", "folder", "split", "engine", "precision", "version",
    }  # fmt: skip
    assert (scores["model"], scores["split"], scores["engine"]) == (str(model), "tails", "numba")
    assert scores["samples"] == sum(f["samples"] for f in scores["files"]) == 5 * 960
    assert scores["skipped"][0]["name"] == "text.wav"
