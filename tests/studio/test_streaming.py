"""What a page hears is what `wavenet generate` makes, whatever it changes and whoever joins."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from starlette.testclient import TestClient, WebSocketTestSession

import wavenet
from tests.helpers import VOICES, tone
from wavenet.audio.pitch import track
from wavenet.audio.quantization import to_pcm16
from wavenet.glossary import Array
from wavenet.studio import streaming
from wavenet.studio.player import Player
from wavenet.studio.recordings import identity
from wavenet.studio.server import create_app
from wavenet.studio.studio import Studio

FLUTE = "demo-flute"
# Samples that are made at once at least, at 16 kHz.
LEAST = 160
# The client's own host has another name, which the studio does not answer to.
STREAM = "ws://127.0.0.1/api/stream"


@pytest.fixture(scope="module")
def log() -> list[str]:
    return []


@pytest.fixture(scope="module")
def client(places: Mapping[str, Path], log: list[str], tmp_path_factory: Any) -> Iterator[Any]:
    root = tmp_path_factory.mktemp("root")
    app = create_app(Studio(root, list(places.values()), log.append))
    # A page that has just left may still have its place, and a busy machine has few of them.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Player, "_timed_capacity", lambda self: 100)
        with TestClient(app, base_url="http://127.0.0.1") as client:
            yield client
    assert log == []


class Page:
    """A page with its stream. `wav` is what was sent so far, `messages` what came besides."""

    def __init__(self, socket: WebSocketTestSession, model: str, **settings: Any) -> None:
        self._socket = socket
        self.wav, self.messages = np.zeros(0, np.float32), list[dict[str, Any]]()
        self.say("start", model=model, **settings)

    def say(self, kind: str, **message: Any) -> None:
        self._socket.send_text(json.dumps({"type": kind, **message}))

    def hear(self) -> dict[str, Any] | None:
        """What comes next: samples, or the message that is returned."""
        frame = self._socket.receive()
        if frame.get("bytes") is not None:
            self.wav = np.concatenate([self.wav, np.frombuffer(frame["bytes"], "<f4")])
            return None
        message: dict[str, Any] = json.loads(frame["text"])
        self.messages.append(message)
        if message["type"] == "from":
            self.wav = self.wav[: message["sample"]]
        return message

    def wait_for(self, kind: str) -> dict[str, Any]:
        while True:
            message = self.hear()
            if message is not None and message["type"] == kind:
                return message
            assert message is None or message["type"] not in ("error", "refused"), message

    def until(self, samples: int) -> Array:
        """What is heard until a sample, of a little more."""
        self.say("credit", until=samples + LEAST, position=len(self.wav))
        while len(self.wav) < samples:
            self.hear()
        return self.wav[:samples]


def expected(path: Path | str, samples: int, seed: int = 7, **how: Any) -> Array:
    model = wavenet.load(path)
    return np.asarray(wavenet.generate(model, samples / model.sample_rate, seed, **how))


@pytest.fixture
def page(client: TestClient, places: Mapping[str, Path]) -> Iterator[Page]:
    with client.websocket_connect(STREAM) as socket:
        page = Page(socket, identity(places["plain"]), seed=7)
        page.wait_for("started")
        yield page


def test_what_is_carried_is_what_generate_makes(page: Page, places: Mapping[str, Path]) -> None:
    assert (page.until(5001) == expected(places["plain"], 5001)).all()
    about = page.messages[0]
    assert (about["seed"], about["rate"], about["lead_in"], about["samples"]) == (7, 8000, 0, None)
    assert "seed 7" in about["comment"]
    assert about["listeners"] == 1
    # Nothing is made beyond what there is room for.
    time.sleep(0.05)
    page.say("credit", until=6000, position=5001)
    assert (page.until(6000) == expected(places["plain"], 6000)).all()


def test_a_length_ends_a_stream_exactly(client: TestClient, places: Mapping[str, Path]) -> None:
    with client.websocket_connect(STREAM) as socket:
        page = Page(socket, identity(places["plain"]), seed=7, seconds=0.1234)
        assert page.wait_for("started")["samples"] == 987
        page.say("credit", until=20_000, position=0)
        page.wait_for("end")
        assert (page.wav == expected(places["plain"], 987)).all()


def test_settings_and_labels_are_those_of_generate(
    client: TestClient, places: Mapping[str, Path]
) -> None:
    how = {"temperature": 0.8, "top_k": 9, "top_p": 0.9}
    for label in (VOICES.labels[0], VOICES.labels[-1]):
        with client.websocket_connect(STREAM) as socket:
            page = Page(socket, identity(places["labels"]), seed=3, label=label, **how)
            wav = page.until(2000)
            assert (wav == expected(places["labels"], 2000, 3, label=label, **how)).all()


def test_a_change_holds_soon_and_before_it_nothing_changes(
    page: Page, places: Mapping[str, Path]
) -> None:
    before = page.until(8000).copy()
    page.say("change", position=4000, temperature=0.0)
    begins = page.wait_for("from")["sample"]
    # What is on its way may be heard, and the next moment that was kept comes soon after that.
    assert 4000 <= begins <= 4000 + 0.15 * 8000
    after = page.until(8000)
    assert (after[:begins] == before[:begins]).all()
    assert (after[begins:] != before[begins:]).any()
    assert (before == expected(places["plain"], 8000)).all()


def test_a_label_is_changed_while_it_sounds(client: TestClient, places: Mapping[str, Path]) -> None:
    with client.websocket_connect(STREAM) as socket:
        page = Page(socket, identity(places["labels"]), seed=3, label=VOICES.labels[0])
        before = page.until(8000).copy()
        page.say("change", position=2000, label=VOICES.labels[1])
        begins = page.wait_for("from")["sample"]
        after = page.until(8000)
        assert (after[:begins] == before[:begins]).all()
        assert (after[begins:] != before[begins:]).any()


def test_one_past_has_two_futures(page: Page, places: Mapping[str, Path]) -> None:
    whole = expected(places["plain"], 8000)
    page.until(8000)
    page.say("branch", position=4000, seed=99)
    branch = page.wait_for("from")
    other = page.until(8000).copy()
    begins = branch["sample"]
    assert (other[:begins] == whole[:begins]).all()
    assert (other[begins:] != whole[begins:]).any()
    page.say("resume", number=branch["branch"], seed=7)
    assert page.wait_for("from")["sample"] == begins
    assert (page.until(8000) == whole).all()
    page.say("resume", number=branch["branch"], seed=99)
    page.wait_for("from")
    assert (page.until(8000) == other).all()


def test_a_prompt_is_heard_and_continued(
    client: TestClient, places: Mapping[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "prompt.wav"
    sf.write(path, tone(4.0), 8000, subtype="FLOAT")
    sent = client.post("/api/uploads?name=prompt.wav", content=path.read_bytes()).json()
    assert (sent["name"], sent["seconds"]) == ("prompt.wav", 4.0)
    with client.websocket_connect(STREAM) as socket:
        page = Page(socket, identity(places["plain"]), seed=7, prompt=sent["id"])
        lead = page.wait_for("started")["lead_in"]
        assert lead == 3 * 8000
        wav = page.until(lead + 4000)
        np.testing.assert_allclose(wav[:lead], tone(4.0)[-lead:], atol=1e-6)
        assert (wav[lead:] == expected(places["plain"], 4000, prompt=path)).all()


def test_typed_notes_are_played_as_play_does(client: TestClient) -> None:
    notes = "C5:0.2 E5"
    with client.websocket_connect(STREAM) as socket:
        page = Page(socket, FLUTE, seed=7, text=notes)
        samples = page.wait_for("started")["samples"]
        wav = np.asarray(wavenet.play(FLUTE, notes, 7))
        assert samples == len(wav)
        page.say("credit", until=samples, position=0)
        page.wait_for("end")
        assert (page.wav == wav).all()


def test_keys_are_heard_within_a_moment(client: TestClient) -> None:
    with client.websocket_connect(STREAM) as socket:
        page = Page(socket, FLUTE, seed=7, live="keys")
        quiet = page.until(1600).copy()
        page.say("keys", position=800, pressed=[[76, 90]], released=[])
        begins = page.wait_for("from")["sample"]
        assert 800 <= begins <= 800 + 0.05 * 16_000
        note = page.until(begins + 8000)[begins + 2000 :]
        assert np.abs(quiet).max() < 0.02 < np.abs(note).max()
        page.say("keys", position=begins + 8000, pressed=[], released=[76])
        page.wait_for("from")
        rest = page.until(begins + 24_000)[begins + 16_000 :]
        assert np.abs(rest).max() < 0.02


def test_a_key_that_is_held_is_bent(client: TestClient) -> None:
    with client.websocket_connect(STREAM) as socket:
        page = Page(socket, FLUTE, seed=7, live="keys")
        page.until(1600)
        page.say("keys", position=1600, pressed=[[76, 90]])
        begins = page.wait_for("from")["sample"]
        page.until(begins + 8000)
        page.say("keys", position=begins + 8000, bend=1.5)
        bent = page.wait_for("from")["sample"]
        wav = page.until(bent + 8000)
        parts = wav[bent - 4000 : bent], wav[bent + 2000 : bent + 6000]
        before, after = (
            np.abs(np.fft.rfft(part * np.hanning(4000), 1 << 16)).argmax() for part in parts
        )
        assert 12 * np.log2(after / before) == pytest.approx(1.5, abs=0.2)


def test_a_microphone_is_followed(client: TestClient) -> None:
    with client.websocket_connect(STREAM) as socket:
        page = Page(socket, FLUTE, seed=7, live="microphone")
        page.wait_for("started")
        page.say("credit", until=16_000, position=0)
        wav = np.concatenate([np.zeros(4000), tone(0.5, 16_000, 659.26, 0.1), np.zeros(2000)])
        for at in range(0, len(wav), 250):
            socket.send_bytes(to_pcm16(wav[at : at + 250].astype(np.float32)).tobytes())
            # A stream that is far behind would leave some out.
            while len(page.wav) < at - 2000:
                page.hear()
        # Nothing is made of what has not come.
        while len(page.wav) < len(wav) - 1024:
            page.hear()
        page.say("change", position=len(page.wav), temperature=0.9)
        page.wait_for("from")
        assert len(wav) - 1024 <= len(page.wav) < len(wav) - 512
        assert [m["note"] for m in page.messages if m["type"] == "note"] == [76, None]
        assert np.abs(page.wav[:3000]).max() < 0.02
        pitch = track(page.wav[6000:10_000], 16_000, 160, 65, 2100)
        assert np.abs(np.median(pitch[pitch[:, 1] > 0, 0]) - 76) < 0.5


def test_what_cannot_be_changed_is_reported_and_the_sound_goes_on(
    page: Page, places: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "MOST_BRANCHES", 1)
    page.until(8000)
    page.say("branch", position=4000, seed=7)
    assert page.wait_for("from")["comment"].endswith("seed 7")
    page.say("branch", position=5000, seed=8)
    assert "there are 1 already" in page.wait_for("notice")["message"]
    page.say("change", position=5000, temperature=200.0)
    assert "`temperature` 200.0: must be" in page.wait_for("notice")["message"]
    assert (page.until(9000) == expected(places["plain"], 9000)).all()


def test_after_going_back_only_as_much_is_made_as_the_page_asks_for(page: Page) -> None:
    page.until(4000)
    page.say("branch", position=500, seed=8)
    begins = page.wait_for("from")["sample"]
    page.until(8000)
    page.say("resume", number=0, seed=9)
    assert page.wait_for("from")["again"]
    # What was asked for before is of no account, and the next answer is not behind any sound.
    page.say("change", position=begins, temperature=0.5)
    page.wait_for("from")
    assert len(page.wav) <= begins + 2 * LEAST


def test_listeners_come_and_go_and_hear_what_they_would_alone(
    client: TestClient, places: Mapping[str, Path]
) -> None:
    model = identity(places["labels"])
    with client.websocket_connect(STREAM) as a, client.websocket_connect(STREAM) as b:
        one = Page(a, model, seed=1, temperature=0.7)
        one.until(1000)
        two = Page(b, model, seed=2, label=VOICES.labels[1])
        two.until(700)
        with client.websocket_connect(STREAM) as c:
            three = Page(c, model, seed=3)
            for samples in (1500, 2500):
                for page in (three, one, two):
                    page.say("credit", until=samples, position=len(page.wav))
                for page in (one, two, three):
                    page.until(samples)
        two.until(4000)
        first = VOICES.labels[0]
        how = {"label": first, "temperature": 0.7}
        assert (one.until(4000) == expected(places["labels"], 4000, 1, **how)).all()
        how = {"label": VOICES.labels[1]}
        assert (two.until(4000) == expected(places["labels"], 4000, 2, **how)).all()
        assert (three.wav[:2500] == expected(places["labels"], 2500, 3, label=first)).all()


def test_one_listener_too_many_is_refused_kindly_until_another_leaves(
    tmp_path: Path, places: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Player, "_timed_capacity", lambda self: 2)
    app = create_app(Studio(tmp_path, list(places.values()), print))
    plain, labels = (identity(place) for place in places.values())
    with (
        TestClient(app, base_url="http://127.0.0.1") as client,
        client.websocket_connect(STREAM) as a,
    ):
        Page(a, plain, seed=1).wait_for("started")
        with client.websocket_connect(STREAM) as b:
            # Models share the machine.
            Page(b, labels, seed=1).wait_for("started")
            for model in (plain, labels):
                with client.websocket_connect(STREAM) as c:
                    message = Page(c, model, seed=1).hear()
                    assert message is not None
                    assert message["type"] == "refused"
                    assert "keeps 2 streams of" in message["message"]
                    assert "1 to " in message["message"]
        # Whoever leaves gives the place back, soon.
        for _ in range(100):
            with client.websocket_connect(STREAM) as c:
                message = Page(c, plain, seed=1).hear()
            if message is not None and message["type"] == "started":
                break
            time.sleep(0.05)
        else:
            pytest.fail("the place was not given back")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"temperature": -1}, "`temperature` -1.0: must be 0"),
        ({"top_p": 0.0}, "`top_p` 0.0: must be above 0"),
        ({"seconds": 1e6}, "`seconds` 1e+06: must be above 0 and at most a day"),
        ({"seed": -4}, "`seed`: must be 0 to"),
        ({"prompt": "nothing"}, "no longer here"),
        ({"text": "C5"}, "without pitch, notes or features to follow"),
        ({"live": "keys"}, "without pitch"),
        ({"live": "microphone"}, "without pitch"),
        ({"model": "../../etc/passwd"}, "no such model"),
    ],
)
def test_what_cannot_be_is_one_line_and_the_page_may_try_again(
    client: TestClient, places: Mapping[str, Path], settings: dict[str, Any], line: str
) -> None:
    with client.websocket_connect(STREAM) as socket:
        model = settings.pop("model", identity(places["plain"]))
        message = Page(socket, model, **settings).hear()
        assert message is not None
        assert message["type"] == "error"
        assert line in message["message"]
        # The same page may try again.
        page = Page(socket, identity(places["plain"]), seed=7)
        assert (page.until(100) == expected(places["plain"], 100)).all()


def test_a_labelled_model_refuses_a_label_that_it_does_not_know(
    client: TestClient, places: Mapping[str, Path]
) -> None:
    with client.websocket_connect(STREAM) as socket:
        message = Page(socket, identity(places["labels"]), label="nobody").hear()
        assert message == {
            "type": "error",
            "message": "`label` nobody: is not one that this model knows",
        }


def test_models_are_listed_with_what_a_page_needs(
    client: TestClient, places: Mapping[str, Path]
) -> None:
    listed = {model["id"]: model for model in client.get("/api/models").json()["models"]}
    plain, flute = listed[identity(places["plain"])], listed[FLUTE]
    assert (plain["levels"], plain["follows"], plain["comes_with"]) == (32, [], False)
    assert flute["follows"] == ["pitch", "loudness"]
    assert flute["notes"][0] < 70 < flute["notes"][1]
    assert listed["demo-vocoder"]["levels"] == 0
    assert "`" not in flute["about"]
    assert flute["about"]


def test_a_page_may_not_have_hours_made_ahead(page: Page) -> None:
    page.say("credit", until=10**9, position=0)
    most = int(streaming.MOST_AHEAD_SECONDS * 8000)
    while len(page.wav) < most:
        page.hear()
    page.say("change", position=0, temperature=1.0)
    # Had more been made, it would come before the answer.
    page.wait_for("from")
    assert len(page.wav) <= most
