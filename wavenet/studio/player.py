"""A model that plays to its listeners: one thread, in which all of its streams advance together.

Whoever wants something of a stream has it done in that thread, between two blocks. A stream is
advanced as far as its listener has room for, its credit, and then waits.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wavenet.engines.options import EngineOptions
from wavenet.errors import printable
from wavenet.generation.live import LiveStream, LiveStreams
from wavenet.generation.live_notes import LiveNotes
from wavenet.generation.live_recording import LiveRecording
from wavenet.generation.streams import Generator, Stream
from wavenet.glossary import Samples, Wav
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.registry import front_ends

# What is made at once: for those who listen, and for those who play and want to hear it at once.
LISTENING_SECONDS, PLAYING_SECONDS = 0.08, 0.01
# While others listen, a stream may be so much ahead of what could be played.
MOST_AHEAD_SECONDS = 5.0
# The part of what the engine makes that is promised to listeners.
PROMISED = 0.9
# Streams that are timed together, and how often. Nobody is promised more than this many.
TIMED_STREAMS, TIMED_BLOCKS, MOST_VOICES = 8, 5, 200
# Times are never more than a day of samples.
FOREVER = 2**62

# What is followed while it comes.
LiveInput = LiveNotes | LiveRecording


@dataclass(eq=False)
class Voice:
    """A stream and its listener, up to sample `end`, in blocks of `block` samples.

    `deliver` is called in the player's thread with what was made, None at the end, or the error
    that ended it.
    """

    live: LiveStream
    block: int
    end: int
    deliver: Callable[[Wav | Exception | None], None]
    live_input: LiveInput | None = None
    # The sample until which its listener has room, and where it is.
    credit: int = 0
    position: int = 0
    # In seconds of the machine's clock.
    began: float = field(default_factory=time.monotonic)
    # Fewer samples are not made at once, but for the last ones: who grants little would slow all.
    least: int = 1

    def room(self, paced: int) -> int:
        """Samples that may be made now, of a block at most, and none after number `paced`.

        0 where they are too few.
        """
        until = min(self.credit, self.end, paced)
        if self.live_input is not None:
            until = min(until, self.live_input.until)
        room = min(self.block, until - self.live.now.time)
        return room if room >= (1 if until == self.end else self.least) else 0


class Player:
    """Plays one model. `capacity` is how many streams it keeps in real time on this machine.

    `listeners` counts those that have a place, which `Models` gives.
    """

    def __init__(
        self,
        model: Model,
        report: Callable[[str], None],
        is_shared: Callable[[], bool] = lambda: False,
    ) -> None:
        """Compiles and times the engine, which may take some seconds.

        `is_shared` says whether this machine plays to others too: then no stream is made faster
        than it is heard, but for some seconds.
        """
        self.model, self._report, self._is_shared = model, report, is_shared
        options = EngineOptions(precision="auto", always_split=True)
        self.generator = Generator(model, options=options)
        self.live = LiveStreams(self.generator)
        self.voices: list[Voice] = []
        self.listeners = 0
        self.capacity = self._timed_capacity()
        self.engine = self.generator.engine.describe(1)
        self._tasks: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="wavenet-player", daemon=True)
        self._thread.start()

    def submit(self, task: Callable[[], None]) -> Future[None]:
        """Have something done between two blocks; what it raises is in what this returns.

        Whoever waits for that before the next task has one of them in a block, as everybody has,
        and cannot keep the others waiting for their sound.
        """
        done = Future[None]()
        with self._changed:
            if self._closed:
                done.cancel()
            else:
                self._tasks.append((task, done))
            self._changed.notify()
        return done

    def grant(self, voice: Voice, credit: int, position: int) -> None:
        """Let a voice be made until a sample, of which its listener hears another."""
        with self._changed:
            voice.credit, voice.position = credit, position
            self._changed.notify()

    def wake(self) -> None:
        """Go on where more is known of what a voice follows."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """End the thread, after the block that it is at."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        for _, done in self._tasks:
            done.cancel()

    def samples(self, seconds: float) -> int:
        return max(1, round(seconds * self.model.sample_rate))

    def begin(
        self,
        stream: Stream,
        prompt: Samples,
        deliver: Callable[[Wav | Exception | None], None],
        *,
        end: int = FOREVER,
        live_input: LiveInput | None = None,
    ) -> Voice:
        """A new voice; in the player's thread."""
        seconds = LISTENING_SECONDS if live_input is None else PLAYING_SECONDS
        # A change holds from the beginning of a block.
        live = self.live.join(stream, prompt, keep_every=self.samples(seconds))
        least = self.samples(PLAYING_SECONDS)
        voice = Voice(live, self.samples(seconds), end, deliver, live_input, least=least)
        self.voices.append(voice)
        return voice

    def leave(self, voice: Voice) -> None:
        """Forget a voice; in the player's thread."""
        if voice not in self.voices:
            return
        self.voices.remove(voice)
        try:
            self.live.leave(voice.live)
        except Exception as e:
            self._end_all([], e)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._tasks and not self._closed and not self._ready()[1]:
                    # What waits for its pace is not notified when it may go on.
                    self._changed.wait(LISTENING_SECONDS if self.voices else None)
                if self._closed:
                    return
                tasks = list(self._tasks)
                self._tasks.clear()
            for task, done in tasks:
                self._run_task(task, done)
            self._advance()

    def _run_task(self, task: Callable[[], None], done: "Future[None]") -> None:
        """Whatever one listener's task leads to, the others are played to."""
        if not done.set_running_or_notify_cancel():
            return
        try:
            task()
        except Exception as e:
            done.set_exception(e)
        else:
            done.set_result(None)

    def _ready(self) -> tuple[list[Voice], int]:
        """The voices that may go on, and by how many samples all of them may."""
        now, is_shared = time.monotonic(), self._is_shared()
        rooms = {}
        for voice in self.voices:
            seconds = now - voice.began + MOST_AHEAD_SECONDS
            room = voice.room(self.samples(seconds) if is_shared else FOREVER)
            if room:
                rooms[voice] = room
        return list(rooms), min(rooms.values(), default=0)

    def _advance(self) -> None:
        """Make a block for all whose listeners have room."""
        with self._changed:
            # Of one moment: what is granted next may be less.
            ready, steps = self._ready()
            for voice in ready:
                voice.live.forget_before(voice.position)
        if not ready:
            return
        try:
            wavs = self.live.advance([voice.live for voice in ready], steps)
        except Exception as e:
            self._end_all(ready, e)
            return
        # Those that have come to their end stay: their listeners may go back.
        for voice, wav in zip(ready, wavs, strict=True):
            voice.deliver(wav)
            if voice.live.now.time >= voice.end:
                voice.deliver(None)

    def _end_all(self, voices: Sequence[Voice], error: Exception) -> None:
        """End some, and all whose states were one: nobody knows how these are.

        Those that waited on their own, and those who come, are played to.
        """
        self._report(f"{self.model.name} cannot go on: {type(error).__name__}: {printable(error)}")
        ended = [v for v in self.voices if v in voices or v.live.state is None]
        self.voices = [v for v in self.voices if v not in ended]
        self.live = LiveStreams(self.generator)
        for voice in ended:
            voice.deliver(error)

    def _timed_capacity(self) -> int:
        """How many streams the engine makes in real time, less what is kept in reserve."""
        alone, together = (self._seconds_for(count) for count in (1, TIMED_STREAMS))
        allowed = PROMISED * LISTENING_SECONDS
        if together <= allowed:
            count = TIMED_STREAMS * allowed / together
        else:
            # Between the two, what a block takes lies on a line.
            count = 1 + (TIMED_STREAMS - 1) * (allowed - alone) / max(together - alone, 1e-9)
        return int(min(max(count, 1), MOST_VOICES))

    def _seconds_for(self, count: int) -> float:
        """The seconds that a block of so many streams takes."""
        streams = [self.generator.stream(0, i, self._some_values()) for i in range(count)]
        live = LiveStreams(self.generator)
        none, keep = np.zeros(0, np.int64), self.samples(LISTENING_SECONDS)
        joined = [live.join(stream, none, keep) for stream in streams]
        times = []
        for _ in range(1 + TIMED_BLOCKS):
            started = time.perf_counter()
            live.advance(joined, self.samples(LISTENING_SECONDS))
            times.append(time.perf_counter() - started)
        return float(np.median(times[1:]))

    def _some_values(self) -> dict[str, Any]:
        generator = np.random.default_rng(0)
        return {f.name: f.random_value(generator, 20) for f in front_ends(self.model.config.model)}
