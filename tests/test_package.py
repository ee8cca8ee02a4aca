"""What is published: the sdist is the project, and the wheel, installed elsewhere, works."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import soundfile as sf

from tests.helpers import tone, wavenet, write_recordings

ROOT = Path(__file__).parent.parent
pytest.importorskip("hatchling", reason="`setup.sh` installs it, and a wheelhouse does not")


def built_wheel(project: Path, folder: Path) -> Path:
    """The wheel of a project folder, unpacked into `folder`."""
    pip = [sys.executable, "-m", "pip"]
    options = ["-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*pip, "wheel", *options, str(project)], check=True, capture_output=True)
    (wheel,) = folder.glob("wavenet_audio-*.whl")
    with zipfile.ZipFile(wheel) as z:
        z.extractall(folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (archive,) = folder.glob("wavenet_audio-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (project,) = (path for path in folder.iterdir() if path.is_dir())
    return project


def run(installed: Path, cwd: Path, *args: str, how: str = "-mwavenet") -> str:
    """What Python prints, away from the checkout, of a command of the wheel's (or of its own)."""
    environment = os.environ | {
        "PYTHONPATH": str(installed),
        "XDG_CACHE_HOME": str(cwd / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-P", how, *args]
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_holds_the_package_with_presets_and_models_and_nothing_else(
    installed: Path,
) -> None:
    pages = (ROOT / "wavenet" / "studio" / "static").iterdir()
    package = {p.relative_to(ROOT).as_posix() for p in [*(ROOT / "wavenet").rglob("*.py"), *pages]}
    sources = {"presets": "configs", "models": "models"}
    resources = {
        f"wavenet/resources/{name}/{p.name}"
        for name, folder in sources.items()
        for p in (ROOT / folder).iterdir()
    }
    # With py.typed, type checkers of users read the package's types.
    assert set(contents(installed)) == {"wavenet/py.typed"} | package | resources


def test_the_sdist_has_all_of_the_project_and_nothing_else(unpacked: Path) -> None:
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    here = subprocess.run(git, cwd=ROOT, capture_output=True, text=True)
    if here.returncode:
        pytest.skip("not in a checkout")
    project = {name for name in here.stdout.splitlines() if (ROOT / name).exists()}
    names = {p.relative_to(unpacked).as_posix() for p in unpacked.rglob("*") if p.is_file()}
    assert names - project == {"PKG-INFO"}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    assert not project & set(tracked.stdout.splitlines()) - names - {".gitattributes"}


def test_recordings_beside_the_starter_are_not_published() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    included = settings["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert all(name.startswith("/") for name in included), "else it is matched in any folder"
    assert [name for name in included if name.startswith("/data")] == [
        "/data/README.md",
        "/data/starter",
    ]


def contents(folder: Path) -> dict[str, bytes]:
    paths = [p for p in folder.rglob("*") if p.is_file()]
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}
    return {name: content for name, content in files.items() if "dist-info" not in name}


@pytest.mark.slow
def test_the_wheel_of_the_sdist_is_that_of_the_checkout(
    installed: Path, unpacked: Path, tmp_path: Path
) -> None:
    assert contents(built_wheel(unpacked, tmp_path)) == contents(installed)


def test_presets_are_found_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "presets") == wavenet("presets").stdout
    code = "import wavenet; print(wavenet.__file__)"
    assert str(installed) in run(installed, tmp_path, code, how="-c")


# numba compiles first, because nothing is in the cache of a new machine.
@pytest.mark.parametrize("engine", ["reference", pytest.param("numba", marks=pytest.mark.slow)])
def test_a_bundled_model_plays_from_the_wheel(installed: Path, tmp_path: Path, engine: str) -> None:
    options = ("--seconds", "0.05", "--seed", "1", "--engine", engine)
    out = run(installed, tmp_path, "generate", "demo-voice", *options)
    assert "demo-voice-1.wav  0.05 s" in out
    assert sf.info(tmp_path / "demo-voice-1.wav").frames == 800


RIGHT = """
from pathlib import Path
import numpy as np
import soundfile
import torch
import wavenet

model: wavenet.Model = wavenet.load("demo-voice")
wav: wavenet.Audio = wavenet.generate(model, seconds=0.1, seed=None, prompt=Path("a.wav"))
wav = wavenet.generate("demo-voice", prompt=np.zeros(100))
wavenet.generate(model, prompt=soundfile.read("a.wav")).save("b.flac")
rate: int | None = wav.sample_rate
one: wavenet.Audio = wavenet.vocode(model, wav, label="ada")
several: list[wavenet.Audio] = wavenet.vocode(model, [wav, wav], mel_scale="db")
several = wavenet.vocode(model, [wav, "a.wav", (wav, 16000)])
wavenet.generate(model, np.float32(2), prompt=torch.zeros(100))
wavenet.Audio([0.1, 0.2], np.float64(16000)).save("c.wav")
bits: float = wavenet.score(model, [(wav, 16000)]).bits_per_sample
config = wavenet.Config(model=wavenet.load_config("tiny").model, audio=wavenet.AudioConfig())
trained: wavenet.Model = wavenet.train("folder", config, on_step=lambda step, bits: step > 3)
trained = wavenet.train([wav, (wav, 16000)], init_from=trained)
wavenet.Model.from_network(trained.network(), config).save(Path("a.safetensors"))
for block in wavenet.Sampler(model, seed=1).blocks(1000):
    half = block * 0.5
names: list[str] = wavenet.preset_names()
"""
WRONG = """from right import model, wav, wavenet
wavenet.generate(1.5)
wavenet.generate(model, second=2)
wavenet.vocode(model, wav, mel_scal="db")
wavenet.train("folder", on_step=lambda step: None)
wavenet.score(model)
model.sampel_rate
wavenet.Sampler("demo-voice")
wavenet.generat
"""


@pytest.mark.slow
def test_a_users_program_is_checked_against_the_types_of_the_wheel(
    installed: Path, tmp_path: Path
) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(WRONG)
    # mypy reads the types of packages on the interpreter's path, if they have py.typed.
    environment = os.environ | {"PYTHONPATH": str(installed)}
    options = ["--strict", "--implicit-reexport", "--disable-error-code=import-untyped"]
    mypy = [sys.executable, "-m", "mypy", *options, "right.py", "wrong.py"]
    result = subprocess.run(mypy, cwd=tmp_path, env=environment, capture_output=True, text=True)
    errors = re.findall(r"^(.+):(\d+): error:", result.stdout, flags=re.MULTILINE)
    lines = [("wrong.py", str(i)) for i in range(2, 1 + len(WRONG.splitlines()))]
    assert list(dict.fromkeys(errors)) == lines, result.stdout + result.stderr


@pytest.mark.slow
def test_a_preset_trains_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    write_recordings(
        tmp_path / "mine", {f"{i}.wav": tone(0.6, hertz=150 + 20 * i) for i in range(4)}
    )
    changes = ("train.batch=1", "train.segment_seconds=0.05", "train.sample_seconds=0")
    small = [word for change in changes for word in ("--set", change)]
    out = run(installed, tmp_path, "train", "mine", "--config", "tiny", "--steps", "2", *small)
    assert "done. Hear it with: wavenet generate runs/mine-tiny" in out
    assert (tmp_path / "runs" / "mine-tiny" / "config.toml").exists()
