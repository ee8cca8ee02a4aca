"""Streams that are heard while they are made: they join and leave, go back, and go on otherwise.

What a listener changes is to be heard soon, though audio is made ahead. So some moments of what was
made and not yet played are kept, and a stream goes back to one of them: what it had made after it
is made anew. The same moment can be gone on from several times, which gives several futures of one
past.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from wavenet.generation.streams import Generator, Stream
from wavenet.glossary import Samples, Wav

# That are kept of a stream. Each is as large as the state of an engine.
MOST_MOMENTS = 20


@dataclass(frozen=True)
class Moment:
    """A stream as it was at one time. It never changes, so it can be gone on from again."""

    stream: Stream
    state: Any
    """An engine's, of this stream alone."""


@dataclass(eq=False)
class LiveStream:
    """A stream of a `LiveStreams`, which alone advances it.

    `now` is how it is at present; its sampling, seed and features may be changed between blocks.
    """

    now: Stream
    # Of this stream alone, and never changed; None while it is part of a joint one.
    state: Any
    keep_every: int
    """Samples that lie between two kept moments, at least."""

    moments: deque[Moment] = field(default_factory=deque)
    """What was kept of its future, that is of what was not played yet, the oldest first."""

    def forget_before(self, time: int) -> None:
        """Forget the moments before sample `time`."""
        while self.moments and self.moments[0].stream.time < time:
            self.moments.popleft()


class LiveStreams:
    """Streams of one generator, which advance as one batch, a block at a time.

    Each draws as it would alone, whoever joins or leaves.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        # Those that advanced last, whose states are one.
        self._joined: list[LiveStream] = []
        self._state: Any = None

    def join(self, stream: Stream, prompt: Samples, keep_every: int) -> LiveStream:
        """A stream from its first sample on, after a prompt of codes (time,), maybe of none."""
        return LiveStream(stream, self.generator.after(prompt, [stream]), keep_every)

    def leave(self, live: LiveStream) -> None:
        """Forget a stream."""
        self._alone(live)
        live.state = None
        live.moments.clear()

    def advance(self, streams: Sequence[LiveStream], steps: int) -> list[Wav]:
        """The next samples of each of these streams: float32 (steps,) in -1 ... 1."""
        if self._joined != list(streams):
            self._join(streams)
        for i, live in enumerate(streams):
            last = live.moments[-1].stream.time if live.moments else -live.keep_every
            if live.now.time - last >= live.keep_every:
                state = self.generator.engine.select(self._state, [i])
                live.moments.append(Moment(live.now.copy(), state))
            while len(live.moments) > MOST_MOMENTS:
                live.moments.popleft()
        return self.generator.advance(self._state, [live.now for live in streams], steps)

    def moment(self, live: LiveStream, time: int) -> Moment:
        """The first moment at sample `time` or later; the present, at the latest."""
        for moment in live.moments:
            if moment.stream.time >= time:
                return moment
        self._alone(live)
        return Moment(live.now.copy(), live.state)

    def go_on_from(self, live: LiveStream, moment: Moment) -> None:
        """Let a stream be as it was at a moment, and forget what it made after that."""
        self._alone(live)
        live.now, live.state = moment.stream.copy(), moment.state
        while live.moments and live.moments[-1].stream.time >= moment.stream.time:
            live.moments.pop()

    def _join(self, streams: Sequence[LiveStream]) -> None:
        """Make one state of those of these streams."""
        self._part([])
        states = [live.state for live in streams]
        self._state = self.generator.engine.merge(states)
        self._joined = list(streams)
        for live in streams:
            live.state = None

    def _alone(self, live: LiveStream) -> None:
        """Give a stream a state of its own, if it is part of the joint one."""
        if live in self._joined:
            self._part([other for other in self._joined if other is not live])

    def _part(self, staying: Sequence[LiveStream]) -> None:
        """Give all joined streams states of their own, but for those that stay."""
        engine = self.generator.engine
        for i, live in enumerate(self._joined):
            if live not in staying:
                live.state = engine.select(self._state, [i])
        if staying and len(staying) < len(self._joined):
            self._state = engine.select(self._state, [self._joined.index(s) for s in staying])
        elif not staying:
            self._state = None
        self._joined = list(staying)
