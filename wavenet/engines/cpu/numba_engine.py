"""The engine for CPUs: compiled loops in one thread or several, with float32 or bf16 weights.

`kernels` holds the loops and says how memory is laid out, `pipeline` the loop for two threads at
one stream, `vectors` the operations that both are made of, `scratch` the memory that they work in,
`panels` how weights are packed, `sampling` the draws, and `thread_scheduler` when several threads
are used.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from threading import Event
from typing import Any, NamedTuple

import numpy as np

from wavenet.config import ModelConfig
from wavenet.engines.cpu import panels
from wavenet.engines.cpu.compiled import advance, consume, produce
from wavenet.engines.cpu.pipeline import FLAGS, STOP
from wavenet.engines.cpu.sampling import draw_settings
from wavenet.engines.cpu.scratch import Scratch, allocate_scratch
from wavenet.engines.cpu.thread_scheduler import ThreadScheduler
from wavenet.engines.engine import Engine, overflow
from wavenet.engines.kinds import require_known
from wavenet.engines.options import DEFAULTS, EngineOptions
from wavenet.engines.weights import pack
from wavenet.errors import EngineError
from wavenet.glossary import Array, Noise, Params, Samples
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.distributions.base import Sampling
from wavenet.simd.compiled import reporting
from wavenet.simd.counts import AVAILABLE
from wavenet.simd.writer import HOST, LANES

# Bytes of weights from which on one stream may run on two cores. With fewer, the cores would do
# little but wait for each other.
MIN_PIPELINED_BYTES = 1 << 19


@dataclass
class State:
    """The memory of all streams, their last samples, and the times they have reached.

    `kernels` says how `ring` and `ahead` are laid out. `skips` is the context module's ring, and
    `sums` adds up a window of it. `intact` is False once a step was interrupted.
    """

    ring: Array  # (batch, ring rows, R')
    ahead: Array  # (batch, L, 8, 2, G')
    skips: Array  # (batch, context rows, S')
    sums: Array  # (batch, S') float64
    last: Array  # (batch,)
    times: Array  # (batch,) int64
    intact: bool = True

    @property
    def memory(self) -> tuple[Array, Array, Array, Array, Array]:
        return self.ring, self.ahead, self.skips, self.sums, self.last


class Work(NamedTuple):
    """What `advance_streams` and `produce_stream` take from `ring` on; they say what it means.

    Steps `begin` to `end` of x, whose first column is at `times`. In all arrays streams come first.
    """

    ring: Array
    ahead: Array
    skips: Array
    sums: Array
    last: Array
    times: Array
    x: Samples  # (batch, steps)
    noise: Noise  # (batch, steps or 0, n_noise)
    params: Params  # (batch, steps or 0, n_params)
    conditioning: Conditioning
    begin: int
    end: int

    def part(self, rows: slice) -> "Work":
        """The work for some of the streams, in the same memory."""
        parts: dict[str, Any] = {
            name: value[rows]
            for name, value in self._asdict().items()
            if isinstance(value, np.ndarray)
        }
        frames, starts, hop = self.conditioning
        return self._replace(**parts, conditioning=Conditioning(frames[rows], starts[rows], hop))


class NumbaEngine(Engine):
    """See `Engine` for what its methods promise. `options` choose precision and threads."""

    name = "numba"

    def __init__(
        self, config: ModelConfig, weights: Mapping[str, Array], options: EngineOptions = DEFAULTS
    ) -> None:
        options = options.for_engine(rounds_weights=True)
        super().__init__(config, options)
        require_known(self.distribution, self.name)
        packed = pack(config, weights)
        self._dequantised = panels.dequantised(packed, options.precision)
        self._plan, ring_rows = panels.plan(packed)
        scalar_input = self.distribution.scalar_input
        self._sizes = panels.sizes(packed, options.precision, ring_rows, scalar_input)
        self._weights = panels.laid_out(packed, options.precision)
        self._network = (self._sizes, self._weights, self._plan)
        self._scheduler = ThreadScheduler()

    def describe(self, batch: int) -> str:
        count = self._threads(batch)
        threads = "1 thread" if count == 1 else f"up to {count} threads"
        slow = "" if HOST.fused else "; no fused multiply-add here, so slower than it could be"
        return f"{self.name} engine ({HOST.name}, {self.options.precision}, {threads}{slow})"

    def _select(self, state: State, streams: Sequence[int]) -> State:
        rows = np.asarray(streams, np.int64)
        ring, ahead, skips, sums, last = (
            panels.aligned_copy(array[rows]) for array in state.memory
        )
        return State(ring, ahead, skips, sums, last, state.times[rows], state.intact)

    def _merge(self, states: Sequence[State]) -> State:
        ring, ahead, skips, sums, last = (
            panels.aligned_copy(np.concatenate(arrays))
            for arrays in zip(*(state.memory for state in states), strict=True)
        )
        times = np.concatenate([state.times for state in states])
        intact = all(state.intact for state in states)
        return State(ring, ahead, skips, sums, last, times, intact)

    def _after_silence(self, frames: Array) -> State:
        n, silence = self._sizes, self.distribution.silence
        embedding = self.distribution.embed_array(np.array(silence), self._dequantised.embedding)
        ring = panels.aligned((len(frames), n.ring_rows, n.r_vectors * LANES))
        ahead = panels.aligned((len(frames), n.layers, panels.BLOCK, 2, n.g_vectors * LANES))
        skips = panels.aligned((len(frames), n.context_rows, n.s_vectors * LANES))
        for stream, frame in enumerate(frames):
            inputs, older, total = panels.state_after_silence(self._dequantised, embedding, frame)
            for x, (_, _, row, mask, _, _) in zip(inputs, self._plan.layers, strict=True):
                ring[stream, row : row + mask + 1, : n.r] = x
            ahead[stream, ..., : n.g] = older.reshape(n.layers, 1, 2, n.g)
            skips[stream, :, : n.s] = total
        sums = panels.aligned_copy(skips[:, : n.window].sum(1, dtype=np.float64))
        last, times = np.full(len(frames), silence, np.int64), np.zeros(len(frames), np.int64)
        state = State(ring, ahead, skips, sums, last, times)
        self._compile(state)
        return state

    def _compile(self, state: State) -> None:
        """Compile the kernels before anything is timed. With no steps they do nothing else."""
        batch = len(state.last)
        x, none = np.zeros((batch, 0), np.int64), np.zeros((batch, 0, 0), np.float32)
        conditioning = panels.laid_out_conditioning(None, batch)
        work = Work(*state.memory, state.times, x, none, none, conditioning, 0, 0)
        with reporting(self.options.report):
            self._run_alone(work, [Sampling()] * batch)
            if self._threads(1) > 1:
                scratch, flags = allocate_scratch(self._sizes, 1), panels.aligned(FLAGS, np.int64)
                settings = draw_settings(self.distribution, [Sampling()])
                produce(*self._network, scratch, flags, settings, *work)
                self._consume(scratch, flags, work)

    def _prefill(self, state: State, x: Samples, conditioning: Conditioning | None) -> Params:
        params = np.empty((*x.shape, self.distribution.n_params), np.float32)
        no_noise = np.zeros((len(x), 0, self.distribution.n_noise), np.float32)
        x = np.array(x, np.int64, order="C")
        self._run(state, x, no_noise, params, [Sampling()] * len(x), conditioning)
        return params

    def _generate(
        self,
        state: State,
        noise: Noise,
        samplings: Sequence[Sampling],
        conditioning: Conditioning | None,
    ) -> Samples:
        x = np.empty(noise.shape[:2], np.int64)
        no_params = np.zeros((len(x), 0, 0), np.float32)
        noise = np.array(noise, np.float32, order="C")
        self._run(state, x, noise, no_params, samplings, conditioning)
        return x

    def _run(
        self,
        state: State,
        x: Samples,
        noise: Noise,
        params: Params,
        samplings: Sequence[Sampling],
        conditioning: Conditioning | None,
    ) -> None:
        """Do the work in segments, each in one thread or in several, whichever was faster lately.

        The options may ask for several throughout.
        With noise, x is drawn. Where `noise` has no steps, x is read and predictions go to
        `params`. Raises EngineError when one overflows.
        """
        if not state.intact:
            interrupted = "this state was interrupted in the middle of a step"
            raise EngineError("", interrupted, "start from another")
        batch, steps = x.shape
        frames = panels.laid_out_conditioning(conditioning, batch)
        # The kernels count on from the times at which x begins.
        work = Work(*state.memory, state.times.copy(), x, noise, params, frames, 0, 0)
        threads = self._threads(batch)
        while work.end < steps:
            count, parallel = steps - work.end, False
            if threads > 1 and batch > 1 and self.options.always_split:
                parallel = True
            elif threads > 1:
                count, parallel = self._scheduler.next(count)
            work = work._replace(begin=work.end, end=work.end + count)
            # Before the clock starts: it is no fault of several threads that they have to begin.
            helpers = self._pool if parallel else None
            state.intact = False
            with self._scheduler.measuring(count, parallel):
                if helpers is None:
                    predicted = self._run_alone(work, samplings)
                elif batch == 1:
                    predicted = self._run_pipelined(work, samplings, helpers)
                else:
                    predicted = self._run_split(work, samplings, helpers, threads)
            state.times += count
            state.intact = True
            if not np.isfinite(predicted).all():
                raise overflow(state.times)

    def _threads(self, batch: int) -> int:
        """The most threads that may advance `batch` streams."""
        most = self.options.most_threads
        if batch > 1:
            return min(most, batch)
        large_enough = sum(array.nbytes for array in self._weights) >= MIN_PIPELINED_BYTES
        return 2 if most > 1 and AVAILABLE and large_enough else 1

    def _run_alone(self, work: Work, samplings: Sequence[Sampling]) -> Array:
        """Do the work in this thread. Returns the predictions of the last step, flat."""
        scratch = allocate_scratch(self._sizes, len(work.x))
        advance(*self._network, scratch, draw_settings(self.distribution, samplings), *work)
        return scratch.predicted

    def _run_split(
        self, work: Work, samplings: Sequence[Sampling], helpers: ThreadPoolExecutor, threads: int
    ) -> Array:
        """Do the work in several threads, each with some of the streams."""
        bounds = np.linspace(0, len(work.x), threads + 1).astype(int)
        rows = [slice(a, b) for a, b in pairwise(bounds)]
        first, *rest = ((work.part(r), samplings[r]) for r in rows)
        futures: list[Future[Array]] = []
        try:
            for part in rest:
                futures.append(helpers.submit(self._run_alone, *part))
            predicted = self._run_alone(*first)
        finally:
            # After Ctrl-C too, no thread may go on writing into the state.
            wait(futures)
        return np.concatenate([predicted, *(future.result() for future in futures)])

    def _run_pipelined(
        self, work: Work, samplings: Sequence[Sampling], helpers: ThreadPoolExecutor
    ) -> Array:
        """Do the work of one stream in two threads; see `pipeline`."""
        scratch, flags = allocate_scratch(self._sizes, 1), panels.aligned(FLAGS, np.int64)
        settings = draw_settings(self.distribution, samplings)
        consumer: Future[None] | None = None
        try:
            consumer = helpers.submit(self._consume, scratch, flags, work)
            produce(*self._network, scratch, flags, settings, *work)
        finally:
            # Whatever happened here, the consumer has to end.
            flags[STOP] = 1
            wait([consumer] if consumer else [])
        consumer.result()
        return scratch.predicted

    def _consume(self, scratch: Scratch, flags: Array, work: Work) -> None:
        memory = (work.ring, work.ahead, work.times, work.begin, work.end)
        try:
            consume(*self._network, scratch, flags, *memory)
        except BaseException:
            # Otherwise the producer would wait for ever.
            flags[STOP] = 1
            raise

    @cached_property
    def _pool(self) -> ThreadPoolExecutor | None:
        """Threads besides this one; None where the system refuses them."""
        count = self.options.most_threads - 1
        pool, all_started = ThreadPoolExecutor(count, "wavenet"), Event()
        try:
            # A task that does not end makes the pool start another thread for the next.
            for _ in range(count):
                pool.submit(all_started.wait)
        except RuntimeError:
            pool.shutdown(wait=False)
            return None
        finally:
            all_started.set()
        return pool
