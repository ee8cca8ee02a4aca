"""Recordings that pages send: each is kept, or refused in a line, and nothing of it stays."""

import io
import json
import pickle
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import soundfile as sf

from tests.helpers import files_up_to, tone, write_midi
from tests.studio.serving_helpers import (
    LONGEST_SECONDS,
    Listener,
    Served,
    head,
    status_of,
    wait_until,
    wav_bytes,
)
from wavenet.studio import uploads

PATH = "/api/uploads?name=a.wav"
QUICK = [
    *(("WAV", "PCM_16"), ("WAV", "IMA_ADPCM"), ("AIFF", "PCM_24"), ("FLAC", "PCM_16")),
    *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("CAF", "ALAC_16")),
]
EVERY = [
    (form, subtype)
    for form in sf.available_formats()
    for subtype in sf.available_subtypes(form)
    if form not in ("RAW", "SD2") and "DWVW" not in subtype
]


def encoded(form: str, subtype: str, seconds: float = 0.5) -> bytes:
    rate, content = 48_000 if subtype == "OPUS" else 16_000, io.BytesIO()
    try:
        sf.write(content, tone(seconds, rate), rate, subtype, format=form)
    except sf.LibsndfileError as e:
        pytest.skip(f"libsndfile writes no {form} of {subtype}: {e}")
    return content.getvalue()


def send(server: Served, content: bytes, name: str = "a.wav") -> tuple[int, dict[str, Any]]:
    """The status and the answer for an upload: kept, or refused in one line."""
    status, _, body = server.ask(f"/api/uploads?name={quote(name)}", "POST", content)
    answer = json.loads(body)
    assert status in (200, 400), answer
    if status == 400:
        assert set(answer) == {"error"}
        assert "\n" not in answer["error"]
        assert "wavenet-studio-" not in answer["error"]
        assert len(answer["error"]) < 500
    return status, answer


def started_with(server: Served, **settings: Any) -> dict[str, Any]:
    """The first message to a page that starts a stream."""
    with server.connect() as page:
        page.send(json.dumps({"type": "start", "model": server.model, "seed": 1, **settings}))
        message: dict[str, Any] = json.loads(page.recv(LONGEST_SECONDS))
    assert "wavenet-studio-" not in message.get("message", "")
    return message


@pytest.fixture(autouse=True)
def nothing_stays(server: Served) -> Iterator[None]:
    """Nothing is reported, and no file stays but those that are kept."""
    yield
    wait_until(lambda: len(server.uploaded) <= uploads.MOST_KEPT)


def damaged(content: bytes) -> Iterator[bytes]:
    size = len(content)
    for cut in (1, 3, 10, 44, 100, size // 3, size - 10, size - 1):
        yield content[:cut]
    random = np.random.default_rng(0)
    for place in random.choice(min(96, size), 6, replace=False):
        yield content[:place] + bytes([255 - content[place]]) + content[place + 1 :]
    yield content + content
    yield content[size // 2 :] + content[: size // 2]
    yield bytes(random.integers(0, 256, size, np.uint8))


@pytest.mark.parametrize(
    ("form", "subtype"),
    [pytest.param(*pair, marks=[] if pair in QUICK else pytest.mark.slow) for pair in EVERY],
)
def test_damaged_recordings_are_kept_or_refused_in_a_line(
    server: Served, form: str, subtype: str
) -> None:
    for content in damaged(encoded(form, subtype)):
        status, answer = send(server, content)
        if status == 200:
            # What was read once is read again.
            path = f"/api/uploads/{answer['id']}?rate=8000"
            assert server.ask(path)[0] in (200, 400)
            message = started_with(server, prompt=answer["id"])
            assert message["type"] in ("started", "error"), message
    assert server.log == []


def wav_of(rate: int, channels: int = 1, bits: int = 16, samples: int = 2000) -> bytes:
    """A WAV whose header claims what it likes."""
    block = channels * bits // 8
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * block % 2**32, block % 2**16, bits)
    data = bytes(range(256)) * (samples * 2 // 256)
    return b"RIFF\0\0\0\0WAVEfmt " + form + b"data" + struct.pack("<I", len(data)) + data


ODD_WAVS = [
    *((0, 1, 16), (1, 1, 16), (7, 1, 16), (2**31, 1, 16), (2**32 - 1, 1, 16), (999_999_999, 1, 8)),
    *((8000, 0, 16), (8000, 1000, 16), (8000, 65_535, 16), (8000, 1, 0), (8000, 1, 65_535)),
]


@pytest.mark.parametrize("odd", ODD_WAVS)
def test_odd_rates_and_channels_are_kept_or_refused_in_a_line(
    server: Served, odd: tuple[int, int, int]
) -> None:
    started = time.monotonic()
    status, answer = send(server, wav_of(*odd))
    if status == 200:
        assert started_with(server, prompt=answer["id"])["type"] in ("started", "error")
    assert time.monotonic() - started < 10
    assert server.log == []


class Opened:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_nothing_is_unpickled(server: Served, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    array = io.BytesIO()
    np.save(array, np.array([Opened(trap)], object), allow_pickle=True)
    for content in (array.getvalue(), pickle.dumps(Opened(trap))):
        for name in ("a.npy", "a.wav", "a.pt", "a.safetensors", "a.mid", "a.csv", "a.TextGrid"):
            status, answer = send(server, content, name)
            if status == 200:
                for settings in ({"prompt": answer["id"]}, {"upload": answer["id"]}):
                    for model in (server.model, "demo-flute"):
                        message = started_with(server, model=model, **settings)
                        assert message["type"] == "error"
    assert not trap.exists()
    assert server.log == []


def test_scores_that_are_damaged_too_long_or_no_recordings(server: Served, tmp_path: Path) -> None:
    good = write_midi(tmp_path / "a.mid", [(0, 1, 60, 100), (480, 1, 60, 0)]).read_bytes()
    day = write_midi(tmp_path / "b.mid", [(0, 1, 60, 100), (20_000_000, 1, 60, 0)]).read_bytes()
    scores = {
        "good.mid": good,
        "cut.mid": good[:-9],
        "day.mid": day,
        "no.mid": b"MThd" + bytes(100),
        "empty.csv": b"",
        "day.csv": b"0,86000,one",
        "odd.csv": b"\xff\xfe0,1e400,one\n\0",
        "no.TextGrid": b'File type = "ooTextFile"\n' * 1000,
        "large.csv": b"0,1,one\n" * 200_000,
    }
    for name, content in scores.items():
        started = time.monotonic()
        status, answer = send(server, content, name)
        assert status == 200
        message = started_with(server, model="demo-flute", upload=answer["id"])
        assert message["type"] == ("started" if name == "good.mid" else "error"), (name, message)
        assert name in message.get("message", name) or "follows" in message["message"]
        assert started_with(server, prompt=answer["id"])["type"] == "error"
        assert server.ask(f"/api/uploads/{answer['id']}?rate=8000")[0] == 400
        assert time.monotonic() - started < 10
    assert server.log == []


NAMES = [
    *("../../x.wav", "/etc/passwd", "..", ".", "", "a\0b.wav", "a\nb\x1b[31m.wav", "\u202egpj.wav"),
    *("a" * 10_000 + ".wav", "C:\\x.wav", "CON", "a.w/v", "a.\0\0", "." * 300, "é.wav\ud800"),
    *("%2e%2e%2f", "a.wav;rm -rf", "<script>", "\U0001f4a9" * 500, "-rf", "a.mid/../b.wav"),
]


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_names_are_only_words(server: Served, number: int) -> None:
    name = NAMES[number].encode("utf-8", "surrogatepass")
    path = f"/api/uploads?name={quote(name)}"
    answer = json.loads(server.ask(path, "POST", wav_bytes())[2])
    assert answer["seconds"] == 0.2
    assert answer["name"].isprintable()
    assert len(answer["name"]) <= 200
    assert not [file for file in server.uploaded if not file[:16].isalnum() or len(file) > 40]
    # Where it is refused, too.
    status, _, body = server.ask(path, "POST", b"no recording")
    assert status == 400
    assert json.loads(body)["error"].isprintable()
    assert server.log == []


def test_what_is_too_large_is_cut(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = head("POST", PATH, f"Host: {server.host}", "Content-Length: 100000001")
    answer = server.raw(declared)
    assert status_of(answer) == 413
    assert b"a.wav: larger than 100 MB" in answer
    for odd in ("9" * 500, "-1", "1e9", "0x10", "\xb2"):
        line = f"Content-Length: {odd}"
        assert status_of(server.raw(head("POST", PATH, f"Host: {server.host}", line))) in (400, 413)
    monkeypatch.setattr(uploads, "MOST_BYTES", 1_000_000)
    before, part = server.uploaded, b"ffff\r\n" + bytes(0xFFFF) + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 10) as page:

        def send_on() -> None:
            page.sendall(head("POST", PATH, f"Host: {server.host}", "Transfer-Encoding: chunked"))
            for _ in range(1000):
                page.sendall(part)

        with pytest.raises(ConnectionError):
            send_on()
    wait_until(lambda: server.uploaded == before)
    assert len(server.log) <= 1


@pytest.mark.parametrize("form", [("FLAC", "PCM_16"), ("OGG", "VORBIS")])
def test_a_small_file_that_holds_much_is_refused(server: Served, form: tuple[str, str]) -> None:
    content = io.BytesIO()
    with sf.SoundFile(content, "w", 8000, 1, form[1], format=form[0]) as file:
        for _ in range(11):
            file.write(np.zeros(60 * 8000, np.float32))
    assert len(content.getvalue()) < 1_000_000
    status, answer = send(server, content.getvalue(), "silence")
    assert (status, answer["error"]) == (400, "silence: is longer than 10 minutes; cut it")


def test_an_upload_that_breaks_off_leaves_no_file(server: Served) -> None:
    before = server.uploaded
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port)) as page:
            page.sendall(head("POST", PATH, f"Host: {server.host}", "Content-Length: 1000") + b"x")
    wait_until(lambda: len(server.log) == 20 and server.uploaded == before)
    assert set(server.log) == {"'/api/uploads': the page left while it sent something"}


def test_hundreds_of_uploads_are_bounded(
    server: Served, other: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = wav_bytes(0.05)
    keys = [send(server, content)[1]["id"] for _ in range(200)]
    assert len(server.uploaded) == uploads.MOST_KEPT
    assert server.ask(f"/api/uploads/{keys[0]}?rate=8000")[0] == 404
    assert server.ask(f"/api/uploads/{keys[-1]}?rate=8000")[0] == 200
    monkeypatch.setattr(uploads, "MOST_KEPT_BYTES", 3 * len(content))
    send(server, content)
    assert len(server.uploaded) == 3


def test_many_are_sent_at_once(server: Served, other: Listener) -> None:
    answers: list[int] = []

    def send_some() -> None:
        for _ in range(5):
            answers.append(send(server, wav_bytes(1.0))[0])

    threads = [threading.Thread(target=send_some) for _ in range(8)]
    for thread in threads:
        thread.start()
    other.hear(2000)
    for thread in threads:
        thread.join()
    assert answers == 40 * [200]


def test_slow_ones_take_turns(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART_SECONDS", 0.3)
    slow = []
    for _ in range(uploads.MOST_AT_ONCE):
        page = socket.create_connection(("127.0.0.1", server.port))
        page.sendall(head("POST", PATH, f"Host: {server.host}", "Content-Length: 1000") + b"x")
        slow.append(page)
    status, _, body = server.ask(PATH, "POST", wav_bytes())
    assert status in (200, 503)
    assert status == 200 or b"send it again soon" in body
    for page in slow:
        page.close()
    assert send(server, wav_bytes())[0] == 200


def test_a_full_disk_is_one_line(server: Served, other: Listener) -> None:
    before = server.uploaded
    with files_up_to(20):
        status, answer = send(server, wav_bytes(5.0))
    assert status == 400
    assert answer["error"].startswith("a.wav: cannot be written (")
    assert server.uploaded == before
    assert send(server, wav_bytes(5.0))[0] == 200


@pytest.mark.parametrize("rate", ["", "0", "-1", "1e4", "nan", "9" * 1000, "²", "8000&rate=x"])
def test_odd_rates_are_refused(server: Served, rate: str) -> None:
    key = send(server, wav_bytes())[1]["id"]
    assert server.error(f"/api/uploads/{key}?rate={quote(rate, safe='&=')}").startswith("`rate`")
