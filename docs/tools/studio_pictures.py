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
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "studio.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Keys that are played for the picture: a tune, by their places on a keyboard.
TUNE = "gjkgjkljhgda"
WIDTHS = {1400: 900, 390: 844}


@contextmanager
def studio(folder: Path) -> Iterator[str]:
    """The address of a studio in a folder."""
    command = [sys.executable, "-u", "-m", "wavenet", "studio", "--no-browser", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.send_signal(signal.SIGINT)


def play(page: Any) -> None:
    """Some seconds of an instrument, with a key still held."""
    page.keyboard.press(TUNE[0])
    page.wait_for_timeout(4000)
    for key in TUNE:
        page.keyboard.down(key)
        page.wait_for_timeout(450)
        page.keyboard.up(key)
    page.keyboard.down("g")
    page.wait_for_timeout(600)


def listen(page: Any) -> None:
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_timeout(6500)
    page.get_by_role("button", name="Branch here").click()
    page.wait_for_timeout(2500)


def look(page: Any) -> None:
    page.wait_for_timeout(1500)


VIEWS = {"listen": listen, "play": play, "vocode": look, "train": look, "stack": look}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    wanted: list[tuple[str, int, str, Path]] = [("play", 1400, "light", PICTURE)]
    if options.all:
        options.all.mkdir(parents=True, exist_ok=True)
        wanted = [
            (view, width, scheme, options.all / f"{view}-{width}-{scheme}.png")
            for view, width, scheme in product(VIEWS, WIDTHS, ("light", "dark"))
        ]
    with (
        tempfile.TemporaryDirectory() as folder,
        studio(Path(folder)) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for view, width, scheme, path in wanted:
            size: Any = {"width": width, "height": WIDTHS[width]}
            colours: Any = scheme
            page = browser.new_page(viewport=size, color_scheme=colours)
            page.goto(f"{address}#{view}")
            page.locator("main .card").first.wait_for()
            VIEWS[view](page)
            page.screenshot(path=path, full_page=path != PICTURE)
            page.close()
            print(path)
        browser.close()


if __name__ == "__main__":
    main()
