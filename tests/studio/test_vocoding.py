"""The vocode view: what a page is sent of the copy that a vocoder makes of its recording."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from starlette.testclient import TestClient

import wavenet
from tests.helpers import (
    BOTH,
    SMALL,
    VOCODER,
    as_checkpoint,
    network,
    noisy,
    tone,
    write_recordings,
)
from wavenet.glossary import Wav
from wavenet.studio import streaming
from wavenet.studio.player import Player
from wavenet.studio.server import create_app
from wavenet.studio.studio import Studio

# The client's own host has another name, which the studio does not answer to.
STREAM = "ws://127.0.0.1/api/stream"
MODELS = {"vocoder": VOCODER, "labelled": BOTH, "free": SMALL}


@dataclass
class Received:
    """The messages and samples of a stream that a page received."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    wav: Wav = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]


class Page:
    """A page of a studio that shows the models above."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        models = client.get("/api/models").json()["models"]
        self.models = {Path(about["name"]).stem: about for about in models}

    def send(self, path: Path, name: str = "") -> Any:
        """The answer to a file, which its user calls by a name of its own."""
        content, parameters = path.read_bytes(), {"name": name or path.name}
        return self.client.post("/api/uploads", content=content, params=parameters)

    def copy(self, model: str, **start: Any) -> Received:
        """Ask for a stream, and for more of it as it comes, until it has ended."""
        received = Received()
        with self.client.websocket_connect(STREAM) as socket:
            socket.send_json({"type": "start", "model": self.models[model]["id"], **start})
            while not {"end", "error", "refused"} & {*received.types}:
                message = socket.receive()
                if message.get("bytes"):
                    received.wav = np.append(received.wav, np.frombuffer(message["bytes"], "<f4"))
                else:
                    received.messages.append(json.loads(message["text"]))
                if received.types == ["started"]:
                    until = len(received.wav) + 8000
                    socket.send_json(
                        {"type": "credit", "until": until, "position": len(received.wav)}
                    )
        return received


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The checkpoints of the models above."""
    folder = tmp_path_factory.mktemp("models")
    paths = {name: folder / f"{name}.safetensors" for name in MODELS}
    for name, config in MODELS.items():
        as_checkpoint(network(config)).save(paths[name])
    return paths


@pytest.fixture(scope="module")
def page(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    log: list[str] = []
    app = create_app(Studio(tmp_path_factory.mktemp("root"), list(files.values()), log.append))
    # A page that has just left may still have its place, and a busy machine has few of them.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Player, "_timed_capacity", lambda self: 100)
        with TestClient(app, base_url="http://127.0.0.1") as client:
            yield Page(client)
    assert log == []


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """At another rate than the models'."""
    wavs = {"a tone.wav": tone(0.7, 16_000) + noisy(0.7, 16_000, amplitude=0.02)}
    return write_recordings(tmp_path / "takes", wavs, 16_000) / "a tone.wav"


def test_the_copy_is_that_of_vocode(page: Page, files: dict[str, Path], recording: Path) -> None:
    """Sample for sample, whatever comes at once; and it goes by its own seed and temperature."""
    upload = page.send(recording).json()
    assert upload["name"] == "a tone.wav"
    assert upload["seconds"] == 0.7
    received = page.copy("vocoder", upload=upload["id"], seed=7)
    expected = wavenet.vocode(files["vocoder"], recording, seed=7)
    assert received.types == ["started", "end"]
    started = received.messages[0]
    assert started["samples"] == len(expected) == 5600
    assert (started["rate"], started["seed"], started["lead_in"]) == (8000, 7, 0)
    assert "vocoder" in started["comment"]
    assert "seed 7" in started["comment"]
    np.testing.assert_array_equal(received.wav, expected)

    calmer = page.copy("vocoder", upload=upload["id"], seed=8, temperature=0.5)
    expected = wavenet.vocode(files["vocoder"], recording, seed=8, temperature=0.5)
    np.testing.assert_array_equal(calmer.wav, expected)
    assert not np.array_equal(calmer.wav, received.wav)


def test_the_copy_of_a_vocoder_of_labels_follows_the_label(
    page: Page, files: dict[str, Path], recording: Path
) -> None:
    assert page.models["labelled"]["follows"] == ["mel"]
    upload = page.send(recording).json()["id"]
    copies = {}
    for label in page.models["labelled"]["labels"]:
        copies[label] = page.copy("labelled", upload=upload, seed=3, label=label).wav
        expected = wavenet.vocode(files["labelled"], recording, seed=3, label=label)
        np.testing.assert_array_equal(copies[label], expected)
    assert not np.array_equal(copies["ada"], copies["bob"])
    received = page.copy("labelled", upload=upload, label="eve")
    assert received.types == ["error"]
    assert "eve" in received.messages[0]["message"]


def test_no_more_is_made_than_a_page_has_room_for(page: Page, tmp_path: Path) -> None:
    """However far ahead it asks; what it says that it has makes room."""
    long = write_recordings(tmp_path / "long", {"long.wav": tone(7)}) / "long.wav"
    upload, rate = page.send(long).json()["id"], 8000
    most = round(streaming.MOST_AHEAD_SECONDS * rate)
    start = {"type": "start", "model": page.models["vocoder"]["id"], "upload": upload}
    with page.client.websocket_connect(STREAM) as socket:
        socket.send_json(start)
        assert socket.receive_json()["samples"] == 7 * rate
        socket.send_json({"type": "credit", "until": 7 * rate, "position": 0})
        come = 0
        while come < most:
            come += len(socket.receive_bytes()) // 4
        assert come == most
        # The next to come is what was made after this, or else it would have come before.
        socket.send_json({"type": "credit", "until": come + 80, "position": come})
        assert len(socket.receive_bytes()) == 4 * 80


def test_the_original_is_as_long_as_the_copy_and_at_its_level(
    page: Page, recording: Path, tmp_path: Path
) -> None:
    upload = page.send(recording).json()["id"]
    answer = page.client.get(f"/api/uploads/{upload}", params={"rate": 8000})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/wav"
    (tmp_path / "original.wav").write_bytes(answer.content)
    info, (wav, rate) = sf.info(tmp_path / "original.wav"), sf.read(tmp_path / "original.wav")
    assert (rate, info.channels, info.subtype) == (8000, 1, "PCM_16")
    # The page reads the header that such a file begins with.
    assert answer.content[36:40] == b"data"
    assert len(answer.content) == 44 + 2 * len(wav)
    assert len(wav) == len(page.copy("vocoder", upload=upload).wav)
    assert np.abs(wav[500:-500]).max() == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize("content", [b"", b"no recording", b"RIFF\x24\0\0\0WAVEfmt "])
def test_a_damaged_recording_is_refused_in_a_line_with_its_name(
    page: Page, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "sent").write_bytes(content)
    answer = page.send(tmp_path / "sent", name="my song.wav")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert "my song.wav" in error
    assert "\n" not in error
    assert str(tmp_path) not in error
    assert "wavenet-studio" not in error


def test_what_cannot_be_copied_is_said(page: Page, recording: Path) -> None:
    def error(model: str, **start: Any) -> str:
        received = page.copy(model, **start)
        assert received.types == ["error"]
        assert not len(received.wav)
        message = received.messages[0]["message"]
        assert "\n" not in message
        return str(message)

    never_sent = "that recording is no longer here; send it again"
    assert error("vocoder", upload="0123456789abcdef") == never_sent
    # Without a recording there is nothing to make.
    assert "mel" in error("vocoder", seed=1)
    upload = page.send(recording).json()["id"]
    without = "this model was trained without pitch, notes or features to follow"
    assert without in error("free", upload=upload)
    # After each of these there is a place again.
    assert page.copy("vocoder", upload=upload).types == ["started", "end"]
