"""Where `generate` and `vocode` read from and write to: files, folders, pipes, loudspeakers."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner, Result

from tests.helpers import (
    SMALL,
    VOCODER,
    VOICES,
    as_checkpoint,
    fails,
    network,
    noisy,
    tone,
    wavenet,
)
from tests.loudspeaker import Loudspeaker
from wavenet.audio import mel
from wavenet.cli import standard_input, terminal
from wavenet.cli.destinations import Destination
from wavenet.cli.main import app
from wavenet.errors import UsageError
from wavenet.generation.sampler import Sampler
from wavenet.model import checkpoint

SHORT = ("--seconds", 0.05, "--seed", 1)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder has a model of each kind, a recording and its frames."""
    monkeypatch.chdir(tmp_path)
    for name, config in {"small": SMALL, "voices": VOICES, "vocoder": VOCODER}.items():
        checkpoint.save(Path(f"{name}.safetensors"), as_checkpoint(network(config)))
    sf.write("r.wav", tone(0.1), 8000, subtype="FLOAT")
    np.save("f.npy", mel.frames_of(tone(0.1).astype(np.float32), 8000, VOCODER))


def generate(*options: object, model: str = "small") -> Result:
    result = wavenet("generate", f"{model}.safetensors", *SHORT, *options)
    assert result.exit_code == 0, result.output
    return result


def piped(content: bytes, *args: object) -> Result:
    """A command with this on its standard input."""
    return CliRunner().invoke(app, [str(a) for a in args], input=content)


def made(folder: str = ".") -> list[str]:
    """The names of files that were not there before."""
    names = {path.name for path in Path(folder).iterdir() if path.is_file()}
    return sorted(n for n in names if not n.endswith((".safetensors", ".npy")) and n != "r.wav")


@pytest.mark.parametrize(
    ("command", "out", "taken"),
    [
        ("generate small.safetensors", "-o a.wav", "a.wav"),
        ("generate small.safetensors", "-o a.wav --count 2", "a-2.wav"),
        ("generate small.safetensors", "", "small-1.wav"),
        ("generate small.safetensors", "-o new/", "new/small-1.wav"),
        ("vocode vocoder.safetensors r.wav", "-o a.wav", "a.wav"),
        ("vocode vocoder.safetensors r.wav", "", "r-vocoded.wav"),
        ("vocode vocoder.safetensors r.wav f.npy", "-o new", "new/f-vocoded.wav"),
    ],
)
def test_a_file_that_exists_is_overwritten_by_force_alone(
    command: str, out: str, taken: str
) -> None:
    words = [*command.split(), *out.split(), "--seed", 1]
    words += ["--seconds", 0.05] if "generate" in words else []
    Path(taken).parent.mkdir(exist_ok=True)
    Path(taken).write_text("precious")
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    line = f"{taken}: exists already; --force overwrites it, or choose another name"
    refused = wavenet(*words)
    assert (refused.exit_code, refused.output) == (1, f"wavenet: {line}\n")
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before
    assert wavenet(*words, "-f").exit_code == 0
    assert sf.info(taken).frames


def test_a_new_seed_is_one_after_which_nothing_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = iter([7, 7, 8, 7, 9])
    monkeypatch.setattr("wavenet.cli.streams.new_seed", lambda: next(seeds))
    model = ("generate", "small.safetensors", "--seconds", 0.05)
    for _ in range(2):
        assert wavenet(*model).exit_code == 0
    assert made() == ["small-7.wav", "small-8.wav"]
    # A file that is named does not depend on it.
    assert "seed 7" in wavenet(*model, "-o", "a.wav").stdout


def test_folders_are_made_and_files_in_them_called_as_without_one() -> None:
    generate("-o", "new/deep/a.flac")
    assert made("new/deep") == ["a.flac"]
    generate("-o", "other/")
    generate("-o", "other", "--count", 2)
    assert made("other") == ["small-1-1.wav", "small-1-2.wav", "small-1.wav"]
    assert wavenet("vocode", "vocoder.safetensors", "r.wav", "-o", "x/y/").exit_code == 0
    assert made("x/y") == ["r-vocoded.wav"]


@pytest.mark.parametrize("labels", [(), ("--label", "cy", "--label", "ada")])
def test_a_clip_of_a_batch_is_made_again_alone(labels: tuple[str, ...]) -> None:
    common = ("--no-tag", *labels)
    batch = generate(*common, "--count", 4, "-o", "x.wav", model="voices").stdout.splitlines()[1:]
    for number in (1, 3):
        alone = generate(*common, "--clip", number, "-o", "one.wav", "-f", model="voices").stdout
        assert Path("one.wav").read_bytes() == Path(f"x-{number}.wav").read_bytes()
        # It says the same label.
        assert alone.splitlines()[1] == batch[number - 1].replace(f"x-{number}", "one")
    generate(*common, "--clip", 3, "--count", 2, "-o", "y.wav", model="voices")
    for number in (3, 4):
        assert Path(f"y-{number}.wav").read_bytes() == Path(f"x-{number}.wav").read_bytes()
    generate("--clip", 3)
    assert sf.SoundFile("small-1-3.wav").comment.endswith("seed 1, clip 3")


@pytest.mark.parametrize(
    "command", ["generate small.safetensors --seconds 0.05", "vocode vocoder.safetensors r.wav"]
)
def test_standard_output_has_the_audio_and_nothing_else(command: str) -> None:
    words = [*command.split(), "--seed", 1]
    wavenet(*words, "-o", "file.wav")
    result = wavenet(*words, "-o", "-")
    assert (result.exit_code, made()) == (0, ["file.wav"])
    streamed, rate = sf.read(BytesIO(result.stdout_bytes))
    assert rate == 8000
    assert (streamed == sf.read("file.wav")[0]).all()
    lines = result.stderr.splitlines()
    assert "checkpoint of step 0, seed 1" in lines[0]
    assert lines[-1].startswith("standard output  0.")
    raw = wavenet(*words, "-o", "-", "--raw", "--subtype", "float")
    assert "raw samples: 32-bit floats, little-endian, mono, 8000 Hz" in raw.stderr.splitlines()
    np.testing.assert_allclose(np.frombuffer(raw.stdout_bytes, "<f4"), streamed, atol=2**-15)
    assert wavenet(*words, "-o", "-", "-q").stderr == ""


def test_a_terminal_is_no_place_for_audio_nor_a_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(BytesIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    with pytest.raises(UsageError, match="standard output is a terminal"):
        Destination("-", False, False, None, False, False)
    monkeypatch.undo()
    monkeypatch.setattr(sys, "stdin", Terminal())
    with (
        pytest.raises(UsageError, match="standard input is a terminal") as e,
        standard_input.as_file(True, "prompt"),
    ):
        pass
    assert e.value.parameter == "prompt"


def test_a_prompt_on_standard_input_is_as_good_as_a_file() -> None:
    keep = ("--keep-prompt", "--no-tag", "-o")
    generate("--prompt", "r.wav", *keep, "file.wav")
    content = Path("r.wav").read_bytes()
    words = ("generate", "small.safetensors", *SHORT, "--prompt", "-", *keep)
    assert piped(content, *words, "piped.wav").exit_code == 0
    assert Path("piped.wav").read_bytes() == Path("file.wav").read_bytes()
    # What is streamed can be continued at once.
    streamed = generate("-o", "-").stdout_bytes
    note = "note: standard input: its header was never finished: read to the end"
    assert note in piped(streamed, *words, "more.wav").stdout.splitlines()
    line = "wavenet: standard input: cannot be read as audio (Format not recognised)\n"
    assert piped(b"no recording", *words, "none.wav").output == line


@pytest.mark.parametrize("source", ["r.wav", "f.npy"])
def test_recordings_and_frames_on_standard_input_are_vocoded(source: str) -> None:
    words = ("vocode", "vocoder.safetensors", "--seed", 1)
    assert wavenet(*words, source, "-o", "file.wav").exit_code == 0
    result = piped(Path(source).read_bytes(), *words, "-")
    assert result.stdout.splitlines()[1].startswith("stdin-vocoded.wav  0.1")
    assert result.stdout.splitlines()[1].endswith(" s, after standard input")
    assert Path("stdin-vocoded.wav").read_bytes() == Path("file.wav").read_bytes()
    wrong = piped(b"no recording", *words, "-", "r.wav", "-o", "several")
    assert wrong.stderr.startswith("wavenet: standard input: cannot be read as audio")
    assert made("several") == ["r-vocoded.wav"]


def test_what_is_listened_to_is_written_where_a_file_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loudspeaker = Loudspeaker(gaps={1})
    monkeypatch.setitem(sys.modules, "sounddevice", loudspeaker)
    result = generate("--listen", "--seconds", 0.6)
    assert result.stdout.splitlines()[-1] == "played  0.60 s"
    assert result.stdout.count("gaps in the sound: it is made more slowly than it plays") == 1
    assert made() == []
    played = np.concatenate(loudspeaker.played)
    generate("--listen", "--seconds", 0.6, "--subtype", "float", "-o", "a.wav")
    assert (sf.read("a.wav", dtype="float32")[0] == played).all()
    assert (np.concatenate(loudspeaker.played[-3:]) == played).all()
    loudspeaker.problem = "Error querying device -1"
    line = (
        "wavenet: --listen: no device here plays 8000 Hz (Error querying device -1); leave it out"
    )
    assert fails("vocode", "vocoder.safetensors", "r.wav", "--listen") == line


def test_json_has_one_shape_whatever_the_count() -> None:
    one = json.loads(generate("--json", "-o", "a.wav", model="voices").stdout)
    two = json.loads(generate("--json", "--count", 2, "-o", "a.wav", model="voices").stdout)
    vocoded = json.loads(wavenet("vocode", "vocoder.safetensors", "r.wav", "--json").stdout)
    clip = {"file": "a.wav", "seconds": 0.05, "samples": 400, "clip": 1, "label": "ada"}
    assert one["clips"][0].items() >= clip.items()
    assert [row["file"] for row in two["clips"]] == ["a-1.wav", "a-2.wav"]
    assert two["clips"][1].keys() == one["clips"][0].keys()
    assert vocoded.pop("skipped") == []
    assert one.keys() == two.keys() == vocoded.keys() == {
        "version", "model", "step", "seed", "engine", "sample_rate", "interrupted", "clips",
    }  # fmt: skip
    assert (one["model"], one["seed"], one["engine"], one["sample_rate"]) == (
        "voices", 1, "numba", 8000,
    )  # fmt: skip
    assert vocoded["clips"][0]["source"] == "r.wav"


@pytest.mark.parametrize(
    "words", ["generate small.safetensors", "vocode vocoder.safetensors r.wav"]
)
def test_json_is_whole_in_a_narrow_terminal(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = "a name of several words that is longer than the terminal is wide.wav"
    result = wavenet(*words.split(), "--seed", 1, "-o", name, "--json")
    assert json.loads(result.stdout)["clips"][0]["file"] == name


def test_json_says_which_inputs_could_not_be_used() -> None:
    Path("bad.flac").write_text("no recording")
    result = wavenet("vocode", "vocoder.safetensors", "bad.flac", "r.wav", "-o", "v", "--json")
    assert result.exit_code == 1
    (skipped,) = json.loads(result.stdout)["skipped"]
    assert skipped["file"] == "bad.flac"
    assert skipped["reason"].startswith("cannot be read as audio")


def test_a_file_that_another_process_makes_meanwhile_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uninterrupted = Sampler.variable_length_blocks

    def raced(*args: Any) -> Iterator[object]:
        Path("race.wav").write_text("another's")
        yield from uninterrupted(*args)

    monkeypatch.setattr(Sampler, "variable_length_blocks", raced)
    words = ("generate", "small.safetensors", *SHORT, "-o", "race.wav")
    line = "wavenet: race.wav: exists already; --force overwrites it, or choose another name"
    assert fails(*words) == line
    assert Path("race.wav").read_text() == "another's"
    assert wavenet(*words, "-f").exit_code == 0
    assert sf.info("race.wav").frames == 400


@pytest.mark.parametrize("link", [os.link, os.symlink])
@pytest.mark.parametrize(
    "words",
    ["generate small.safetensors --prompt other.wav", "vocode vocoder.safetensors other.wav"],
)
def test_an_input_is_not_replaced_under_another_of_its_names(
    words: str, link: Callable[[str, str], None]
) -> None:
    link("r.wav", "other.wav")
    before = Path("r.wav").read_bytes()
    assert "itself; choose another -o" in fails(*words.split(), "-o", "r.wav", "--force")
    assert Path("r.wav").read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="a pipe of POSIX")
def test_a_file_is_made_though_nobody_reads_the_lines_about_it() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = ("generate", "small.safetensors", "--seconds", "0.05", "-o", "a.wav")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "wavenet", *words]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=environment)
    os.close(writer)
    # There is the speed alone.
    assert (done.returncode, done.stderr.count(b"\n")) == (0, 1)
    assert sf.info("a.wav").frames == 400


def test_json_after_ctrl_c_has_what_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    uninterrupted = Sampler.variable_length_blocks

    def interrupted(*args: Any) -> Iterator[object]:
        yield next(iter(uninterrupted(*args)))
        raise KeyboardInterrupt

    monkeypatch.setattr(Sampler, "variable_length_blocks", interrupted)
    words = ("generate", "small.safetensors", "--seconds", 1, "--json", "-o", "a.wav")
    result = wavenet(*words)
    assert result.exit_code == 130
    told = json.loads(result.stdout)
    assert (told["interrupted"], told["clips"][0]["samples"]) == (True, 2048)


def test_results_are_no_inputs_of_the_folder_that_they_lie_in(
    make_folder: Callable[..., Path],
) -> None:
    folder = make_folder({"a.wav": tone(0.1), "b.wav": noisy(0.05)})
    words = ("vocode", "vocoder.safetensors", folder, "--seed", 1, "-o", folder)
    assert wavenet(*words).exit_code == 0
    first = sorted(path.name for path in folder.iterdir())
    assert first == ["a-vocoded.wav", "a.wav", "b-vocoded.wav", "b.wav"]
    again = wavenet(*words, "--force")
    assert again.exit_code == 0
    note = f"note: {folder}: leaves out 2 earlier results (...-vocoded)"
    assert again.stdout.splitlines()[0] == note
    assert sorted(path.name for path in folder.iterdir()) == first
    # Whoever names one means it.
    named = wavenet("vocode", "vocoder.safetensors", folder / "a-vocoded.wav")
    assert "a-vocoded-vocoded.wav" in named.stdout


def test_names_stay_in_their_line() -> None:
    lines = generate("-o", "two\nlines.wav").stdout.splitlines()
    assert lines[1:] == [r"two\nlines.wav  0.05 s"]
    assert Path("two\nlines.wav").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device of this machine is full")
def test_a_full_standard_output_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OSError, match="No space left") as e:
            terminal.result("a line")
        monkeypatch.undo()
        # What it holds back would be tried again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    assert e.value.filename == "standard output"
