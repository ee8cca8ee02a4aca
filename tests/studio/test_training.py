"""The train view: what pages learn of runs, and trainings that they start, stop and resume."""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from filelock import FileLock
from starlette.testclient import TestClient

from tests.helpers import train_run, training_recordings, write_recordings
from wavenet.studio.processes import Training, Trainings, last_lines, log_of
from wavenet.studio.recordings import recording_folders
from wavenet.studio.runs import MOST_POINTS, thinned
from wavenet.studio.server import create_app
from wavenet.studio.studio import Studio
from wavenet.training.run_folder import Run

# What stands for `wavenet train`: it goes on until Ctrl-C, as a training does.
PATIENT = """
import signal, sys, time
def end(*_):
    print("stopped at step 3, everything is saved", flush=True)
    sys.exit(130)
signal.signal(signal.SIGINT, end)
print("begun", flush=True)
time.sleep(60)
"""
FAILING = 'import sys; print("reading\\nwavenet: recordings: no audio files"); sys.exit(1)'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_recordings(tmp_path / "studio" / "takes", training_recordings())
    return tmp_path / "studio"


@pytest.fixture
def client(root: Path) -> TestClient:
    return TestClient(create_app(Studio(root)), base_url="http://127.0.0.1")


@pytest.fixture
def run(root: Path, config_file: Path) -> Run:
    settings = ("train.steps=20", "train.sample_seconds=0.1")
    folder = root / "runs" / "first"
    return train_run(root / "takes", folder, *settings, config=str(config_file), stop_at=10)[0]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """stand_in(code) lets a Python script run wherever the studio starts a training."""
    started: list[Training] = []
    begin = Trainings._begin

    def noted(self: Trainings, folder: Path, arguments: list[str]) -> Training:
        started.append(begin(self, folder, arguments))
        return started[-1]

    def use(code: str) -> None:
        script = tmp_path / "stand_in"
        script.write_text(f"#!{sys.executable}\n{code}")
        script.chmod(0o755)
        monkeypatch.setattr(Trainings, "_begin", noted)
        monkeypatch.setattr(sys, "executable", str(script))

    yield use
    for training in started:
        if training.process:
            training.process.kill()
            training.process.wait()


def only_run(client: TestClient) -> dict[str, Any]:
    (run,) = client.get("/api/runs").json()["runs"]
    return dict(run)


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def started(client: TestClient, **given: Any) -> dict[str, Any]:
    """Start a training on the first folder, with `given` instead of what is usual."""
    folder = client.get("/api/trainings").json()["folders"][0]["id"]
    answer = client.post(
        "/api/trainings", json={"folder": folder, "begin": "tiny", "minutes": 1} | given
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def refusal(client: TestClient, **given: Any) -> str:
    folder = client.get("/api/trainings").json()["folders"][0]["id"]
    answer = client.post(
        "/api/trainings", json={"folder": folder, "begin": "tiny", "minutes": 1} | given
    )
    assert answer.status_code == 400
    return str(answer.json()["error"])


def test_without_runs_the_list_is_empty(client: TestClient) -> None:
    assert client.get("/api/runs").json() == {"runs": [], "problems": []}


def test_a_run_is_listed_with_how_far_it_is(client: TestClient, run: Run) -> None:
    listed = only_run(client)
    assert (listed["name"], listed["config"]) == ("first", "test")
    assert (listed["step"], listed["steps"], listed["state"]) == (10, 20, "stopped")
    assert math.isfinite(listed["best_bits"])
    assert listed["recordings"] == "studio/takes"
    assert listed["can_resume"]
    assert not listed["can_stop"]


def test_places_that_are_missing_are_reported_and_the_others_shown(
    root: Path, run: Run, tmp_path: Path
) -> None:
    studio = Studio(root, [tmp_path / "nowhere", run.folder])
    client = TestClient(create_app(studio), base_url="http://127.0.0.1")
    answer = client.get("/api/runs").json()
    assert [r["name"] for r in answer["runs"]] == ["first"]
    assert "nowhere: no such folder" in answer["problems"][0]


def test_a_run_has_its_curves_settings_recordings_and_samples(client: TestClient, run: Run) -> None:
    about = client.get(f"/api/runs/{only_run(client)['id']}").json()
    assert about["is_whole"]
    assert [point[0] for point in about["training"]] == [10]
    assert [point[0] for point in about["validation"]] == [5, 10]
    assert [sample["step"] for sample in about["samples"]] == [5, 10]
    assert "[train]" in about["model"]["settings"]
    assert about["data"]["count"] == 6
    assert about["data"]["held_out"] == 2


def test_a_page_gets_only_what_it_has_not_seen(client: TestClient, run: Run) -> None:
    address = f"/api/runs/{only_run(client)['id']}"
    seen = client.get(address).json()
    run.log(step=20, seconds=1.5, train_bits=3.25)
    run.log(step=20, seconds=1.5, validation_bits=3.5)
    query = {"after": seen["lines"], "edition": seen["edition"], "sample": 6}
    more = client.get(address, params=query).json()
    assert not more["is_whole"]
    assert (more["training"], more["validation"]) == (
        [[20, 0.000417, 3.25]],
        [[20, 0.000417, 3.5]],
    )
    assert [sample["step"] for sample in more["samples"]] == [10]
    assert "model" not in more


def test_a_page_gets_everything_again_when_a_run_forgets_steps(
    client: TestClient, run: Run
) -> None:
    address = f"/api/runs/{only_run(client)['id']}"
    seen = client.get(address).json()
    run.forget_after(5)
    run.log(step=6, seconds=0.7, validation_bits=3.75)
    query = {"after": seen["lines"], "edition": seen["edition"]}
    again = client.get(address, params=query).json()
    assert again["is_whole"]
    assert [point[0] for point in again["validation"]] == [5, 6]


def test_bits_that_are_no_numbers_are_left_out(client: TestClient, run: Run) -> None:
    run.log(step=11, seconds=1, train_bits=math.nan, validation_bits="much")
    answer = client.get(f"/api/runs/{only_run(client)['id']}").json()
    assert [point[0] for point in answer["training"]] == [10]
    assert [point[0] for point in answer["validation"]] == [5, 10]


def test_long_curves_are_thinned_to_means() -> None:
    points = [(step, step / 100, float(step % 2)) for step in range(1, 4001)]
    few = thinned(points)
    assert len(few) == MOST_POINTS
    assert few[-1] == (4000, 40.0, 0.5)
    assert thinned(points[:MOST_POINTS]) == points[:MOST_POINTS]


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=1e3", "sample=" + "9" * 13])
def test_what_is_no_number_is_refused(client: TestClient, run: Run, query: str) -> None:
    answer = client.get(f"/api/runs/{only_run(client)['id']}?{query}")
    assert (answer.status_code, answer.json()) == (400, {"error": "not a whole number"})


def test_players_may_ask_for_a_part_of_a_sample(client: TestClient, run: Run) -> None:
    address = f"/api/runs/{only_run(client)['id']}/samples/step-00000010.wav"
    whole = client.get(address)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/wav")
    part = client.get(address, headers={"range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, whole.content[4:12])
    picture = client.get(address.replace(".wav", ".png"))
    assert picture.headers["content-type"] == "image/png"


TRICKS = (
    *("../config.toml", "%2e%2e", "%2e%2e/config.toml", "..%2fconfig.toml", "/etc/passwd"),
    *("step-00000010.wav%00", "step-99.wav", "%00", "secret.wav"),
    *("..%5cconfig.toml", "step-00000005.wav/../../config.toml", "linked.wav", "step-00000007.wav"),
)


@pytest.mark.parametrize("trick", TRICKS)
def test_only_samples_that_are_listed_are_sent(client: TestClient, run: Run, trick: str) -> None:
    (run.samples / "secret.wav").write_bytes(b"secret")
    (run.samples / "step-00000007.wav").symlink_to(run.config_file)
    name = only_run(client)["id"]
    answer = client.get(f"/api/runs/{name}/samples/{trick}")
    assert answer.status_code == 404
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    "name", ["first", "..", "%2e%2e", "%00", "x" * 3000, "/etc", "runs%2ffirst"]
)
def test_runs_are_found_by_what_the_list_calls_them_alone(
    client: TestClient, run: Run, name: str
) -> None:
    assert client.get(f"/api/runs/{name}").status_code == 404
    assert client.post(f"/api/runs/{name}/resume", json={}).status_code in (404, 405)
    full = quote(str(run.folder), safe="")
    assert client.get(f"/api/runs/{full}").status_code == 404


def test_folders_of_recordings_are_offered_and_no_others(root: Path, run: Run) -> None:
    for name in ("notes", ".hidden", "node_modules", "takes/more"):
        (root / name).mkdir()
    for name in (".hidden/a.wav", "node_modules/a.wav", "notes/a.txt", "takes/more/b.FLAC"):
        (root / name).touch()
    (root / "elsewhere").symlink_to(root / "takes")
    found, is_all = recording_folders(root)
    own = [(folder.name, folder.files) for folder in found if folder.path.is_relative_to(root)]
    assert own == [("takes", 7), ("takes/more", 1)]
    assert is_all


def test_a_search_for_recordings_ends(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a/b/c/d/e/f/g").mkdir(parents=True)
    assert not recording_folders(root)[1]
    monkeypatch.setattr("wavenet.studio.recordings.MOST_FOLDERS", 1)
    assert recording_folders(root)[0] == [f for f in recording_folders(root)[0] if f.files]
    assert not recording_folders(root)[1]


def test_what_a_training_begins_from_is_reported(client: TestClient) -> None:
    starts = {start["name"]: start for start in client.get("/api/trainings").json()["starts"]}
    assert starts["base-speech"]["is_model"]
    assert "readers" in starts["base-speech"]["purpose"]
    assert not starts["tiny"]["is_model"]
    assert all(start["purpose"] for start in starts.values())


@pytest.mark.parametrize("minutes", [0, -1, "10", None, True, 1e9, [], {}, math.nan])
def test_minutes_are_bounded(client: TestClient, minutes: object) -> None:
    content = json.dumps({"folder": "", "begin": "tiny", "minutes": minutes})
    folder = client.get("/api/trainings").json()["folders"][0]["id"]
    answer = client.post("/api/trainings", content=content.replace('""', f'"{folder}"'))
    assert answer.status_code == 400
    assert answer.json()["error"] == "minutes: must be a number from 0.05 to 2880"


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", ".hidden", "-x", "a\0b", "a b", "x.", "a\nb", "a:b"]
)
def test_names_are_plain(client: TestClient, root: Path, name: str) -> None:
    assert "may have letters, digits, - _ and . (not first)" in refusal(client, name=name)
    assert not (root / "runs").exists()


def test_what_cannot_start_is_refused_in_a_line(client: TestClient, run: Run, root: Path) -> None:
    assert refusal(client, name="x" * 61) == "name: is longer than 60 characters"
    assert refusal(client, name=3) == "name: must be a text"
    assert refusal(client, name="first").startswith("first: a run of this name exists")
    assert refusal(client, more=1) == "'more': nothing of this name is asked for"
    for begin in ("nothing", "../model", str(run.folder), None, ["tiny"]):
        assert "nothing of this name to begin from" in refusal(client, begin=begin)
    for folder in ("takes", str(root / "takes"), "..", "/", None, {}, 1):
        assert "no such folder of recordings" in refusal(client, folder=folder)
    folder = client.get("/api/trainings").json()["folders"][0]["id"]
    half = b'{"folder": "%s", "begin": "tiny", "minutes": 1, "name": "\\ud800"}' % folder.encode()
    assert client.post("/api/trainings", content=half).json()["error"].startswith("name '")
    for body in (b"[]", b"{", b'"a"', b"\xff"):
        assert client.post("/api/trainings", content=body).status_code == 400


def test_a_training_starts_stops_and_lets_no_other_begin(
    client: TestClient, stand_in: Callable[[str], None], root: Path
) -> None:
    stand_in(PATIENT)
    run = started(client)
    folder = root / "runs" / "takes-tiny"
    assert (run["name"], run["state"], run["can_stop"]) == ("takes-tiny", "starting", True)
    wait_until(lambda: last_lines(folder)[-1] == "begun")
    arguments = f"--out {folder} --config tiny --minutes 1"
    assert last_lines(folder)[0] == f"$ wavenet train {root / 'takes'} {arguments}"
    assert "takes-tiny: is being trained now" in refusal(client)
    assert client.post(f"/api/runs/{run['id']}/stop", json={}).json()["state"] == "stopping"
    wait_until(lambda: only_run(client)["state"] == "stopped")
    again = client.post(f"/api/runs/{run['id']}/stop", json={})
    assert "no training of it was started here" in again.json()["error"]
    assert started(client)["name"] == "takes-tiny-2"


def test_why_a_training_failed_is_reported(
    client: TestClient, stand_in: Callable[[str], None]
) -> None:
    stand_in(FAILING)
    started(client, name="mine")
    wait_until(lambda: only_run(client)["state"] == "failed")
    run = only_run(client)
    assert run["error"] == "recordings: no audio files"
    assert client.get(f"/api/runs/{run['id']}").json()["log"][-1].startswith("wavenet: ")
    refused = client.post(f"/api/runs/{run['id']}/resume", json={}).json()["error"]
    assert refused == "mine: has nothing to go on from; start another training"


def test_a_studio_that_is_started_again_can_stop_what_goes_on(
    client: TestClient, stand_in: Callable[[str], None], run: Run, root: Path
) -> None:
    stand_in(PATIENT)
    name = only_run(client)["id"]
    assert client.post(f"/api/runs/{name}/resume", json={}).json()["state"] == "starting"
    wait_until(lambda: last_lines(run.folder)[-1] == "begun")
    assert last_lines(run.folder)[0] == f"$ wavenet train --out {run.folder}"
    later = TestClient(create_app(Studio(root)), base_url="http://127.0.0.1")
    assert only_run(later)["can_stop"]
    assert "is being trained now" in later.post(f"/api/runs/{name}/resume", json={}).json()["error"]
    assert later.post(f"/api/runs/{name}/stop", json={}).status_code == 200
    wait_until(lambda: only_run(client)["state"] == "stopped")
    wait_until(lambda: only_run(later)["state"] == "stopped")
    assert last_lines(run.folder)[-1] == "stopped at step 3, everything is saved"


def test_a_number_that_is_left_of_a_training_stops_no_other_process(
    root: Path, run: Run, client: TestClient
) -> None:
    log_of(run.folder).parent.mkdir()
    log_of(run.folder).touch()
    log_of(run.folder).with_suffix(".pid").write_text(str(os.getpid()))
    answer = client.post(f"/api/runs/{only_run(client)['id']}/stop", json={})
    assert "no training of it was started here" in answer.json()["error"]


def test_a_run_that_is_trained_elsewhere_is_only_watched(client: TestClient, run: Run) -> None:
    with FileLock(run.folder / ".lock"):
        listed = only_run(client)
        assert (listed["state"], listed["is_ours"], listed["can_stop"]) == (
            "training",
            False,
            False,
        )
        name = listed["id"]
        refused = client.post(f"/api/runs/{name}/stop", json={}).json()["error"]
        assert refused.endswith("stop it where it was started")
        refused = client.post(f"/api/runs/{name}/resume", json={}).json()["error"]
        assert refused == "first: is being trained now"


def test_a_run_that_is_done_is_not_resumed(client: TestClient, run: Run) -> None:
    run.log(step=20, seconds=3.0, train_bits=3.0)
    name = only_run(client)["id"]
    assert only_run(client)["state"] == "done"
    refused = client.post(f"/api/runs/{name}/resume", json={}).json()["error"]
    assert refused == "first: has done all of its 20 steps; start another training"
    assert client.post(f"/api/runs/{name}/resume", json={"steps": 9}).status_code == 400


@pytest.mark.slow
def test_a_real_training_starts_stops_and_resumes(
    client: TestClient, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    name = started(client, name="real", minutes=5)["id"]
    wait_until(lambda: only_run(client)["step"] >= 10, 60)
    assert only_run(client)["state"] == "training"
    client.post(f"/api/runs/{name}/stop", json={})
    wait_until(lambda: only_run(client)["state"] == "stopped", 60)
    stopped = only_run(client)["step"]
    assert last_lines(root / "runs" / "real")[-1].startswith(f"stopped at step {stopped}")
    assert client.post(f"/api/runs/{name}/resume", json={}).json()["state"] == "starting"
    wait_until(lambda: only_run(client)["step"] > stopped, 60)
    client.post(f"/api/runs/{name}/stop", json={})
    wait_until(lambda: only_run(client)["state"] == "stopped", 60)
