"""How soon the studio is heard, how many streams it keeps in real time, and for how long.

    python -m benchmarks.studio [MODEL] [--streams N] [--minutes 0.5]

`wavenet studio` runs as its users run it, and pages are played by a program of this one: each asks
for half a second ahead, less than a browser does, and hears in real time. Printed are the
milliseconds from the start of a stream to its first samples and, of a model that follows notes,
from a key to where its sound begins, which a browser adds its own delay to; the streams that the
studio says it keeps in real time, beside those that the engine alone makes; and while that many
play, how often one of them had nothing to hear, how little was ahead at worst, and how the memory
of the studio grew.
"""

import asyncio
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

import wavenet
from benchmarks.arguments import parser
from wavenet.bench.measure import SECONDS, cases
from wavenet.system.machine import machine

# What a page keeps ahead, and waits for before it begins and after a gap.
AHEAD_SECONDS, ENOUGH_SECONDS, TICK_SECONDS = 0.5, 0.08, 0.075
STARTS, KEYS = 15, 15
# A studio that refuses nobody.
LETTING_ALL_IN = """
from wavenet.__main__ import main
from wavenet.studio.player import Player
Player._timed_capacity = lambda self: 200
main()
"""


@dataclass
class Heard:
    """What one page had to hear."""

    gaps: int = 0
    least_ahead: float = 9.0


class Page:
    """A page's stream."""

    def __init__(self, socket: ClientConnection, rate: int) -> None:
        self.socket, self.rate, self.end = socket, rate, 0
        self.about: dict[str, Any] = {}
        self.capacity = 0

    async def say(self, kind: str, **message: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **message}))

    async def hear(self) -> str:
        """What comes next: "samples", or the type of a message."""
        message = await self.socket.recv()
        if isinstance(message, bytes):
            self.end += len(message) // 4
            return "samples"
        self.about = json.loads(message)
        if self.about["type"] == "from":
            self.end = self.about["sample"]
        self.capacity = self.about.get("capacity", self.capacity)
        kind: str = self.about["type"]
        return kind

    async def until(self, kind: str) -> None:
        while (heard := await self.hear()) != kind:
            if heard in ("refused", "error"):
                raise SystemExit(self.about["message"])

    async def play(self, seconds: float) -> Heard:
        """Hear it in real time."""
        heard, ahead = Heard(), round(AHEAD_SECONDS * self.rate)
        await self.say("credit", until=ahead, position=0)
        receiving = asyncio.create_task(self._receive())
        while self.end < ENOUGH_SECONDS * self.rate:
            await asyncio.sleep(0.005)
        began, position = time.perf_counter(), 0.0
        stop = began + seconds
        while (now := time.perf_counter()) < stop:
            position = (now - began) * self.rate
            if position > self.end:
                heard.gaps += 1
                # It waits until there is enough again.
                while self.end < position + ENOUGH_SECONDS * self.rate:
                    await self.say(
                        "credit", until=round(position) + ahead, position=round(position)
                    )
                    await asyncio.sleep(0.005)
                began = time.perf_counter() - position / self.rate
            heard.least_ahead = min(heard.least_ahead, (self.end - position) / self.rate)
            await self.say("credit", until=round(position) + ahead, position=round(position))
            await asyncio.sleep(TICK_SECONDS)
        receiving.cancel()
        return heard

    async def _receive(self) -> None:
        while True:
            await self.hear()


async def started(address: str, rate: int, **settings: Any) -> Page:
    page = Page(await connect(address, max_size=None, ping_interval=None), rate)
    await page.say("start", **settings)
    await page.until("started")
    return page


async def first_sounds(address: str, rate: int, **settings: Any) -> tuple[list[float], int]:
    """Seconds from a start to the first samples, of a model that is loaded.

    And how many streams of it the studio keeps in real time.
    """
    seconds, capacity = [], 0
    for seed in range(1 + STARTS):
        began = time.perf_counter()
        page = await started(address, rate, seed=seed, **settings)
        await page.say("credit", until=rate // 4, position=0)
        await page.until("samples")
        seconds.append(time.perf_counter() - began)
        capacity = page.capacity
        await page.socket.close()
    return seconds[1:], capacity


async def keys(address: str, rate: int, model: str) -> list[float]:
    """Seconds from a key to where its sound begins, while another is heard."""
    page = await started(address, rate, model=model, seed=1, live="keys")
    position, seconds = 0, []
    for i in range(KEYS):
        # In parts of ten milliseconds, and the last one may wait for more credit.
        while page.end < position + rate // 8 - rate // 100:
            await page.say("credit", until=position + rate // 8, position=position)
            await page.hear()
        await page.say("keys", position=position, pressed=[[72 + i % 8, 90]], released=[])
        began = time.perf_counter()
        await page.until("from")
        begins = page.end
        await page.say("credit", until=begins + rate // 8, position=position)
        await page.until("samples")
        # It cannot sound before its samples have come.
        seconds.append(max((begins - position) / rate, time.perf_counter() - began))
        position = page.end
    await page.socket.close()
    return seconds


async def together(address: str, rate: int, count: int, seconds: float, **settings: Any) -> Any:
    pages = [await started(address, rate, seed=i, **settings) for i in range(count)]
    heard = await asyncio.gather(*(page.play(seconds) for page in pages))
    for page in pages:
        await page.socket.close()
    return heard


def memory_mb(process: int) -> float:
    with open(f"/proc/{process}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def engine_streams(model: wavenet.Model) -> float:
    """How many streams in real time the engine alone makes, in one batch."""
    found = cases(model.config, names=["numba"])
    case = max((c for c in found if c.row.precision == "bf16"), key=_size)
    case.warm_up()
    speeds = [case.speed(SECONDS) for _ in range(5)]
    return statistics.median(speeds) / model.sample_rate


def _size(case: Any) -> tuple[int, int]:
    return case.row.batch, case.row.threads


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("model", nargs="?", default="demo-voice")
    arguments.add_argument("--streams", type=int, help="Default: as many as the studio keeps.")
    arguments.add_argument("--minutes", type=float, default=0.5)
    options = arguments.parse_args()
    model = wavenet.load(options.model)
    rate, follows = model.sample_rate, model.config.model.conditioning
    print(f"{machine()}; {options.model}")
    alone = engine_streams(model)
    command = [sys.executable, "-u", "-m", "wavenet", "studio", "--no-browser", "--port", "0"]
    if options.streams:
        command = [sys.executable, "-u", "-c", LETTING_ALL_IN, *command[4:]]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as studio,
    ):
        assert studio.stdout is not None
        page = studio.stdout.readline().split()[-1]
        address = page.replace("http", "ws") + "api/stream"
        settings: dict[str, Any] = {"model": options.model}
        if follows:
            settings["text"] = " ".join(["C5:4 E5 G5 C6"] * 30)
        try:
            sounds, capacity = asyncio.run(first_sounds(address, rate, **settings))
            report("first samples", sounds)
            if "pitch" in follows:
                report("a key's sound", asyncio.run(keys(address, rate, options.model)))
            print(f"streams in real time: the engine alone {alone:.1f}, promised {capacity}")
            count = options.streams or capacity
            before = memory_mb(studio.pid)
            heard = asyncio.run(together(address, rate, count, 60 * options.minutes, **settings))
            gaps, least = sum(h.gaps for h in heard), min(h.least_ahead for h in heard)
            print(
                f"{count} played for {options.minutes:g} minutes: {gaps} gaps, at worst "
                f"{1000 * least:.0f} ms ahead; memory {before:.0f} MB before, "
                f"{memory_mb(studio.pid):.0f} after"
            )
        finally:
            studio.send_signal(signal.SIGINT)


def report(what: str, seconds: list[float]) -> None:
    middle, most = np.median(seconds), max(seconds)
    print(
        f"{what} after {1000 * middle:.0f} ms (median of {len(seconds)}; at most {1000 * most:.0f})"
    )


if __name__ == "__main__":
    main()
