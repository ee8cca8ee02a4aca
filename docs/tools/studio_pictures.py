"""Pictures of the studio's views, in Chromium: the one on its page, or all of them to look at.

    python -m docs.tools.studio_pictures               docs/studio.png
    python -m docs.tools.studio_pictures --all FOLDER  each view at 390 and 1400 px, light and dark

It wants Chromium and Playwright, as the tests of the pages do.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from docs.tools.drawing import palettized

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "studio.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What is played after for the picture, and the second of it that the picture ends with.
TUNE, SHOWN_SECONDS = ROOT / "docs" / "audio" / "tune.mp3", 8
SEED = "Math.random = () => 0.25;"
HEARD = "window.wavenetStream?.recording.end / window.wavenetStream?.recording.rate"
# What was heard up to there, whenever the picture is taken, and no figures of the machine.
DRAW = """async (seconds) => {
  const { Scroller } = await import("/static/spectrum.js");
  const [wave, spectrogram] = ["wave", "spectrogram"].map((c) => document.querySelector("." + c));
  const { recording } = window.wavenetStream;
  document.querySelector("p.numbers").textContent = "\xa0";
  new Scroller(spectrogram, wave, 6).draw(recording, seconds * recording.rate);
}"""
WIDTHS = {1400: 800, 390: 844}


@contextmanager
def studio(folder: Path) -> Iterator[str]:
    """The address of a studio in a folder."""
    command = [sys.executable, "-u", "-m", "wavenet", "studio", "--no-browser", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.send_signal(signal.SIGINT)


def play(page: Any) -> None:
    """An instrument that has played after a recording."""
    page.locator("input[type=file]").set_input_files(TUNE)
    # The page's policy lets nothing wait inside it.
    for _ in range(600):
        page.wait_for_timeout(100)
        if (page.evaluate(HEARD) or 0) >= SHOWN_SECONDS:
            break
    page.get_by_role("button", name="Stop", exact=True).click()
    page.evaluate(DRAW, SHOWN_SECONDS)


def listen(page: Any) -> None:
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_timeout(6500)
    page.get_by_role("button", name="Branch here").click()
    page.wait_for_timeout(2500)


def look(page: Any) -> None:
    page.wait_for_timeout(1500)


VIEWS = {"listen": listen, "play": play, "vocode": look, "train": look, "stack": look}


def draw_all() -> list[Path]:
    """Take the picture of the studio's page."""
    take([("play", 1400, "light", PICTURE)])
    return [PICTURE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if not options.all:
        draw_all()
        return
    options.all.mkdir(parents=True, exist_ok=True)
    views = product(VIEWS, WIDTHS, ("light", "dark"))
    take([(*view, options.all / f"{'-'.join(map(str, view))}.png") for view in views])


def take(wanted: Sequence[tuple[str, int, str, Path]]) -> None:
    """Take a picture of each: a view, a width in pixels, "light" or "dark", and where it goes."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    with (
        tempfile.TemporaryDirectory() as folder,
        studio(Path(folder)) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for view, width, scheme, path in wanted:
            size: Any = {"width": width, "height": WIDTHS[width]}
            how: Any = {"viewport": size, "color_scheme": scheme}
            # The one for the page in twice as many pixels, for projectors.
            page = browser.new_page(**how, device_scale_factor=1 + (path == PICTURE))
            page.add_init_script(SEED)
            page.goto(f"{address}#{view}")
            page.locator("main .card").first.wait_for()
            VIEWS[view](page)
            page.screenshot(path=path, full_page=path != PICTURE)
            page.close()
            if path == PICTURE:
                palettized(path, 256)
            print(path)
        browser.close()


if __name__ == "__main__":
    main()
