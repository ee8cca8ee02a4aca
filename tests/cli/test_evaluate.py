"""`wavenet evaluate`: its lines, and the keys of its JSON."""

import json
import tempfile
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from typer.testing import CliRunner

from tests.helpers import fails, matches, tone, wavenet, write_recordings
from wavenet.audio.mel_scales import SCALES
from wavenet.cli import options, vocode
from wavenet.cli.evaluate import evaluate
from wavenet.cli.main import app
from wavenet.engines import ENGINES
from wavenet.evaluation.likelihood import FileScore, Likelihood


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
        "model", "path", "step", "sample_rate", "folder", "paths", "split", "engine", "precision",
        "trained_on", "interrupted", "version",
    }  # fmt: skip
    assert (scores["model"], scores["split"], scores["engine"]) == ("model", "tails", "numba")
    assert (scores["path"], scores["folder"]) == (str(model), str(training_folder))
    assert (scores["paths"], scores["trained_on"], scores["interrupted"]) == ([], 0, False)
    assert scores["samples"] == sum(f["samples"] for f in scores["files"]) == 5 * 960
    assert scores["skipped"][0]["file"] == "text.wav"


def test_a_file_that_was_named_and_is_none_ends_it_with_1(
    model: Path, training_folder: Path
) -> None:
    bad, good = training_folder / "text.wav", training_folder / "0.wav"
    bad.write_text("not audio")
    assert wavenet("evaluate", model, training_folder).exit_code == 0
    assert wavenet("evaluate", model, good, training_folder / "1.wav").exit_code == 0
    named = wavenet("evaluate", model, good, bad)
    assert named.exit_code == 1
    assert "bits per sample over 9,600 samples" in named.stdout
    assert wavenet("evaluate", model, good, bad, "--json").exit_code == 1


def test_ctrl_c_gives_the_figure_of_what_was_scored(
    model: Path, training_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = json.loads(wavenet("evaluate", model, training_folder / "0.wav", "--json").stdout)
    add = Likelihood.add

    def interrupted(self: Likelihood, span: Any, advance: Any) -> FileScore:
        def stop(samples: int) -> None:
            raise KeyboardInterrupt

        return add(self, span, stop if span.recording.name == "1.wav" else advance)

    monkeypatch.setattr(Likelihood, "add", interrupted)
    told = wavenet("evaluate", model, training_folder)
    assert told.exit_code == 130
    assert "interrupted: 1 of 6 recordings were scored" in told.stdout.splitlines()
    result = wavenet("evaluate", model, training_folder, "--json")
    assert result.exit_code == 130
    partly = json.loads(result.stdout)
    assert (alone.pop("interrupted"), partly.pop("interrupted")) == (False, True)
    for differing in ("folder", "paths"):
        del alone[differing], partly[differing]
    assert partly == alone


def test_ctrl_c_before_anything_was_scored_is_told_as_such(
    model: Path, training_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> FileScore:
        raise KeyboardInterrupt

    monkeypatch.setattr(Likelihood, "add", interrupted)
    result = wavenet("evaluate", model, training_folder)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (130, "wavenet: interrupted")


@pytest.mark.parametrize("dash", ["-", "/dev/stdin"])
def test_a_recording_on_standard_input_is_scored(dash: str, model: Path, tmp_path: Path) -> None:
    folder = write_recordings(tmp_path / "r", {"a.wav": tone(0.5)})
    words = ["evaluate", str(model), dash]
    content = (folder / "a.wav").read_bytes()
    piped = CliRunner().invoke(app, words, input=content)
    assert piped.exit_code == 0, piped.output
    where = "checkpoint of step 0 on 1 recording of standard input at 8000 Hz"
    assert piped.stdout.splitlines()[0] == where
    named = wavenet("evaluate", model, folder / "a.wav").stdout
    assert piped.stdout.splitlines()[3:] == named.splitlines()[3:]
    about = json.loads(CliRunner().invoke(app, [*words, "--json"], input=content).stdout)
    assert (about["folder"], about["paths"]) == ("-", [])
    wrong = CliRunner().invoke(app, words, input=b"no recording")
    assert wrong.output.startswith("wavenet: standard input: cannot be read as audio")
    # What comes once leaves nothing in the cache of the user.
    assert "holds no decoded recordings of /" in wavenet("cache", tempfile.gettempdir()).stdout
    line = "wavenet: FOLDER -: is scored alone; leave out the others"
    assert fails("evaluate", model, "-", folder) == line


def test_the_choices_of_options_are_what_there_is() -> None:
    assert set(get_args(options.EngineName)) == {"auto", *ENGINES}
    hints = get_type_hints(evaluate)
    assert set(get_args(hints["engine"])) == {"parallel", "auto", *ENGINES}
    assert get_args(vocode.MelScale) == tuple(SCALES)
