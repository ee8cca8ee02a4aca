"""The studio in a real browser: what is seen and heard, in Chromium driven by Playwright.

Without either they are skipped. Debian's own will do: `apt-get install chromium`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

import wavenet
from tests.helpers import SMALL, as_checkpoint, network, tone, training_recordings, write_recordings
from wavenet.audio.pitch import track
from wavenet.glossary import Array
from wavenet.studio.recordings import identity

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
RATE = 8000
# What makes sound and a microphone in a browser without either; as root it has no sandbox.
OPTIONS = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
OPTIONS.append("--autoplay-policy=user-gesture-required")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install it")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("studio")
    as_checkpoint(network(SMALL)).save(root / "plain.safetensors")
    write_recordings(root / "takes", training_recordings())
    sf.write(root / "prompt.wav", tone(2.0), RATE, subtype="FLOAT")
    (root / "runs").mkdir()
    return root


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    command = [sys.executable, "-u", "-m", "wavenet", "studio", "plain.safetensors", "runs"]
    command += ["--no-browser", "--port", "0"]
    studio = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert studio.stdout is not None
    address = studio.stdout.readline().decode().split()[-1]
    assert address.startswith("http://127.0.0.1:")
    yield address
    studio.send_signal(signal.SIGINT)
    printed = studio.communicate(timeout=20)[0].decode()
    assert studio.returncode == 0
    # Nothing that pages did was refused, and nothing failed.
    assert "studio: " not in printed
    assert "Traceback" not in printed


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """open_page("stack?layers=3") is a page at that view; what its console says is an error."""
    said: list[str] = []
    pages = []

    def open_page(view: str, **how: Any) -> Any:
        context = browser.new_context(viewport={"width": 1200, "height": 900}, **how)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{address}#{view}")
        pages.append(context)
        return page

    yield open_page
    for context in pages:
        context.close()
    assert said == []


def listen(open_page: Callable[..., Any], root: Path, seed: int = 5) -> Any:
    page = open_page(f"listen?model={identity(root / 'plain.safetensors')}")
    page.get_by_role("button", name="Play", exact=True).wait_for()
    page.get_by_label("Seed", exact=True).fill(str(seed))
    return page


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def wait_until(page: Any, condition: str, seconds: float = 20) -> None:
    """Playwright's own way evaluates texts in the page, which the studio's policy forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(f"() => Boolean({condition})"):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(30)


def played(page: Any) -> Array:
    """What the page has played until now."""
    code = """() => { const { recording } = wavenetStream;
        return Array.from(recording.part(0, wavenetStream.position())) }"""
    return np.array(page.evaluate(code), np.float32)


def expected(root: Path, samples: int, seed: int = 5, **how: Any) -> Array:
    return np.asarray(wavenet.generate(root / "plain.safetensors", samples / RATE, seed, **how))


LOUDNESS = """async () => {
    const values = [];
    const wave = new Float32Array(1024);
    for (let i = 0; i < 60; i++) {
        await new Promise((done) => setTimeout(done, 50));
        wavenetStream.analyser.getFloatTimeDomainData(wave);
        values.push(Math.hypot(...wave) / 32);
    }
    return { values, gaps: wavenetStream.status.gaps };
}"""


def test_three_seconds_sound_without_a_gap(open_page: Callable[..., Any], root: Path) -> None:
    page = listen(open_page, root)
    # Another program may hold this machine up for a moment: three in a row it does not.
    for _ in range(3):
        press(page, "Play")
        # The analyser's window is then full.
        wait_until(page, "window.wavenetStream?.status?.position > 1024")
        measured = page.evaluate(LOUDNESS)
        wav = played(page)
        press(page, "Stop")
        # This network always sounds.
        if measured["gaps"] == 0 and min(measured["values"]) > 0.02:
            break
    assert measured["gaps"] == 0
    assert min(measured["values"]) > 0.02
    assert len(wav) > 2.5 * RATE
    assert (wav == expected(root, len(wav))).all()


def test_the_temperature_changes_what_sounds(open_page: Callable[..., Any], root: Path) -> None:
    page = listen(open_page, root)
    press(page, "Play")
    wait_until(page, f"window.wavenetStream?.status?.position > {RATE}")
    before = page.evaluate(
        """() => {
        wavenetStream.handlers.from = (message) => { wavenetStream.begins = message.sample };
        const slider = document.querySelector("input[type=range]");
        slider.value = 0.2; slider.dispatchEvent(new Event("input"));
        return wavenetStream.position() }"""
    )
    wait_until(page, f"window.wavenetStream.begins + {RATE} < wavenetStream.position()")
    wav, begins = played(page), page.evaluate("wavenetStream.begins")
    # Within 0.3 s, of which the slider waits for some.
    assert before < begins < before + 0.3 * RATE
    plain = expected(root, len(wav))
    assert (wav[:begins] == plain[:begins]).all()
    assert (wav[begins:] != plain[begins:]).any()
    calm = np.abs(np.diff(wav[begins:])).mean()
    assert calm < np.abs(np.diff(wav[:begins])).mean()


def test_a_prompt_is_continued(open_page: Callable[..., Any], root: Path) -> None:
    page = listen(open_page, root)
    page.get_by_label("Prompt", exact=True).set_input_files(root / "prompt.wav")
    page.get_by_text("prompt.wav, 2.0 s").wait_for()
    press(page, "Play")
    wait_until(page, f"window.wavenetStream?.status?.position > {3 * RATE}")
    wav = played(page)
    lead = 2 * RATE
    np.testing.assert_allclose(wav[:lead], tone(2.0), atol=1e-6)
    continued = expected(root, len(wav) - lead, prompt=root / "prompt.wav")
    assert (wav[lead:] == continued).all()


def test_a_recording_of_the_microphone_is_a_prompt(
    open_page: Callable[..., Any], root: Path
) -> None:
    page = listen(open_page, root)
    press(page, "Record")
    time.sleep(1.2)
    press(page, "Stop recording")
    page.get_by_text("recorded.webm,").wait_for()
    press(page, "Play")
    wait_until(page, "window.wavenetStream?.about?.lead_in > 0")


def test_a_branch_has_two_futures(open_page: Callable[..., Any], root: Path) -> None:
    page = listen(open_page, root)
    press(page, "Play")
    wait_until(page, f"window.wavenetStream?.status?.position > {RATE}")
    press(page, "Branch here")
    page.get_by_text("Future 2").wait_for()
    wait_until(page, f"wavenetStream.position() > {2 * RATE}")
    other = played(page)
    page.get_by_text("Future 1").click()
    wait_until(page, f"wavenetStream.position() < {2 * RATE}")
    wait_until(page, f"wavenetStream.position() > {3 * RATE}")
    wav = played(page)
    assert (wav == expected(root, len(wav))).all()
    assert (other != wav[: len(other)]).any()


def test_what_was_heard_is_downloaded_as_it_is_generated(
    open_page: Callable[..., Any], root: Path, tmp_path: Path
) -> None:
    page = listen(open_page, root, seed=9)
    press(page, "Play")
    wait_until(page, f"window.wavenetStream?.status?.position > {RATE}")
    press(page, "Stop")
    with page.expect_download() as download:
        press(page, "Download")
    assert download.value.suggested_filename == "plain.safetensors-9.wav"
    path = tmp_path / "kept.wav"
    download.value.save_as(path)
    wav, rate = sf.read(path, dtype="float32")
    assert rate == RATE
    assert np.abs(wav - expected(root, len(wav), 9)).max() <= 1 / 32768
    assert "seed 9" in str(sf.SoundFile(path).comment)


def is_note(wav: Array, hertz: float) -> bool:
    """Whether that or one of its first harmonics is strongest: flutes have weak fundamentals."""
    spectrum = np.abs(np.fft.rfft(wav * np.hanning(len(wav))))
    strongest = np.fft.rfftfreq(len(wav), 1 / 16_000)[spectrum.argmax()]
    return min(abs(12 * np.log2(strongest / (hertz * k))) for k in (1, 2, 3)) < 0.5


def test_keys_play_an_instrument(open_page: Callable[..., Any]) -> None:
    page = open_page("play?model=demo-flute")
    page.get_by_role("button", name="C5", exact=True).wait_for()
    page.keyboard.down("g")
    wait_until(page, "window.wavenetStream?.position() > 24000")
    page.keyboard.up("g")
    # G4.
    assert is_note(played(page)[-8000:], 392)
    assert "press a key" in page.locator(".numbers").inner_text() or page.locator(".held").count()


MIDI = """
const input = { onmidimessage: null };
window.send = (...data) => input.onmidimessage({ data });
navigator.requestMIDIAccess = async () => ({ inputs: new Map([["one", input]]) });
"""


def test_midi_plays_an_instrument(open_page: Callable[..., Any]) -> None:
    page = open_page("stack")
    # A keyboard that is plugged in, of which this machine has none.
    page.context.add_init_script(MIDI)
    page.goto(page.url.partition("#")[0] + "?#play")
    press(page, "MIDI")
    page.get_by_text("1 MIDI input plays").wait_for()
    page.evaluate("send(0x90, 74, 100)")
    page.locator(".held").wait_for()
    assert page.locator(".held").get_attribute("aria-label") == "D5"
    wait_until(page, "window.wavenetStream?.position() > 16000")
    assert np.abs(played(page)[-4000:]).max() > 0.02
    # The wheel goes up all its way, and all of its messages become a few.
    page.evaluate("for (let i = 64; i < 128; i++) send(0xe0, 127, i)")
    turned = page.evaluate("window.wavenetStream.position()")
    wait_until(page, f"window.wavenetStream.position() > {turned + 16_000}")
    assert is_note(played(page)[-8000:], 659.26)
    page.evaluate("send(0x80, 74, 0)")
    wait_until(page, "!document.querySelector('.held')")


OPENED = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
window.opened = [];
navigator.mediaDevices.getUserMedia = async (options) => {
    const media = await open(options);
    opened.push(...media.getTracks());
    return media;
};
"""


def test_the_microphone_is_followed(browser: Any, address: str, tmp_path: Path) -> None:
    sf.write(tmp_path / "hum.wav", tone(2.0, 48_000, 440, 0.1), 48_000)
    hum = f"--use-file-for-fake-audio-capture={tmp_path / 'hum.wav'}"
    other = browser.browser_type.launch(executable_path=CHROMIUM, args=[*OPTIONS, hum])
    said: list[str] = []
    with other.new_page() as page:
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.add_init_script(OPENED)
        page.goto(f"{address}#play?model=demo-flute")
        press(page, "Follow microphone")
        button = page.get_by_role("button", name="Follow microphone", exact=True)
        page.locator(".held").wait_for()
        assert page.locator(".held").get_attribute("aria-label") == "A4"
        begins = page.evaluate("wavenetStream.position()")
        wait_until(page, f"wavenetStream.position() > {begins + 16_000}")
        pitch = track(played(page)[-12_000:], 16_000, 160, 65, 2100)
        assert pitch[:, 1].mean() > 0.8
        # Or one of its octaves: flutes have weak fundamentals.
        assert abs((np.median(pitch[pitch[:, 1] > 0, 0]) - 69 + 6) % 12 - 6) < 0.5
        line = page.locator(".numbers").inner_text()
        behind = int(line.partition(" ms after you")[0].split()[-1])
        assert line.startswith("A4, about ")
        assert 50 < behind < 1000
        # A key takes over, and the microphone is let go.
        page.keyboard.down("d")
        wait_until(page, "document.querySelector('.numbers').innerText.startsWith('E')")
        assert button.get_attribute("aria-pressed") == "false"
        released = "opened.every((track) => track.readyState === 'ended')"
        assert page.evaluate(released)
        page.keyboard.up("d")
        # So it is where another view is opened, also while it is being asked for.
        for wait in (True, False):
            page.goto(f"{address}#play?model=demo-flute")
            press(page, "Follow microphone")
            if wait:
                page.locator(".held").wait_for()
                assert not page.evaluate(released)
            page.goto(f"{address}#stack")
            wait_until(page, f"opened.length === {3 - wait} && {released}")
    other.close()
    assert said == []


def test_a_copy_is_made_beside_its_recording(open_page: Callable[..., Any], root: Path) -> None:
    page = open_page("vocode?model=demo-vocoder")
    page.get_by_label("Recording", exact=True).set_input_files(root / "prompt.wav")
    wait_until(page, "window.wavenetPair", 60)
    page.get_by_text("The copy is made").first.wait_for(state="attached", timeout=60_000)
    press(page, "Play")
    press(page, "Copy")
    page.wait_for_timeout(500)
    assert (
        page.get_by_role("button", name="Copy", exact=True).get_attribute("aria-pressed") == "true"
    )


def test_the_stack_view_names_gaps(open_page: Callable[..., Any]) -> None:
    page = open_page("stack")
    page.get_by_role("textbox", name="Dilations").first.fill("4, 4, 4, 4")
    gaps = "only every 4th sample is heard; 12 of 17 samples are never heard"
    page.get_by_text(gaps).first.wait_for()
    # The address reproduces the view.
    page.wait_for_timeout(500)
    open_page(page.url.partition("#")[2]).get_by_text(gaps).first.wait_for()


def test_a_curve_grows_while_a_run_trains(
    open_page: Callable[..., Any], root: Path, small_config: Any
) -> None:
    config = root / "test.toml"
    config.write_text(small_config.to_toml(), encoding="utf-8")
    page = open_page("train")
    command = [sys.executable, "-m", "wavenet", "train", "takes", "--config", "test.toml"]
    command += ["--out", "runs/grows", "--steps", "2000", "--device", "cpu", "--quiet"]
    command += ["--set", "train.evaluate_every=20", "--set", "train.sample_seconds=0.1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    training = subprocess.Popen(command, cwd=root, env=environment)
    try:
        page.get_by_text("grows").first.wait_for(timeout=60_000)
        marks = "document.querySelectorAll('.chart .mark').length"
        wait_until(page, f"{marks} >= 2", 60)
        before = page.evaluate(marks)
        wait_until(page, f"{marks} > {before + 1}", 60)
    finally:
        training.send_signal(signal.SIGINT)
        training.wait(60)


@pytest.mark.parametrize("view", ["listen", "play", "vocode", "train", "stack"])
def test_every_view_fits_a_phone_and_names_its_controls(
    open_page: Callable[..., Any], view: str
) -> None:
    page = open_page(view, color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator("main .card").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("main button, main input, main select, main a")]
        .filter((e) => e.checkVisibility() && !(e.getAttribute("aria-label") || e.labels?.length
            || e.textContent.trim() || e.title || e.getAttribute("aria-labelledby")
            || e.querySelector("img[alt]")))
        .map((e) => e.outerHTML)"""
    )
    assert unnamed == []
    assert json.loads(page.evaluate("JSON.stringify(document.title)")).endswith("wavenet studio")
