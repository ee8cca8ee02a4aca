"""The engine for CPUs: compiled loops in one thread or several, with float32 or bf16 weights.

`kernels` holds the loops and says how memory is laid out, `pipeline` the loop for two threads at
one stream, `vectors` the operations that both are made of, `panels` how weights are packed,
`sampling` the draws, and `thread_scheduler` when several threads are used.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import pairwise
from threading import Event
from typing import Any

import numpy as np

from wavenet.config import ModelConfig
from wavenet.engines.conditioning import require_conditioning
from wavenet.engines.cpu.compiled import advance, consume, produce, reporting
from wavenet.engines.cpu.kernels import KernelConditioning, Scratch, allocate_scratch
from wavenet.engines.cpu.panels import (
    BLOCK,
    aligned,
    aligned_copy,
    dequantised,
    laid_out,
    laid_out_frames,
    plan,
    sizes,
    state_after_silence,
)
from wavenet.engines.cpu.pipeline import FLAGS, STOP, available
from wavenet.engines.cpu.sampling import draw_settings, require_known
from wavenet.engines.cpu.thread_scheduler import ThreadScheduler
from wavenet.engines.cpu.vectors import HOST, LANES
from wavenet.engines.options import EngineOptions
from wavenet.engines.weights import pack
from wavenet.errors import EngineError
from wavenet.glossary import Array, Noise, Params, Samples
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.distributions.base import Sampling, noise_columns
from wavenet.model.distributions.registry import distribution_for

# Bytes of weights from which on one stream may run on two cores. With fewer, the cores would do
# little but wait for each other.
MIN_PIPELINED_BYTES = 1 << 19


@dataclass
class State:
    """The memory of all streams, the time they have reached and their last samples.

    `kernels` says how `ring` and `ahead` are laid out. `skips` is the context module's ring, and
    `sums` adds up a window of it. `intact` is False once a step was interrupted.
    """

    ring: Array  # (batch, ring rows, R')
    ahead: Array  # (batch, L, 8, 2 G')
    skips: Array  # (batch, context rows, S')
    sums: Array  # (batch, S') float64
    time: int
    last: Array  # (batch,)
    intact: bool = True

    def part(self, rows: slice) -> "State":
        """Some of the streams, in the same memory, not a copy."""
        return State(
            self.ring[rows],
            self.ahead[rows],
            self.skips[rows],
            self.sums[rows],
            self.time,
            self.last[rows],
        )


@dataclass(frozen=True)
class Work:
    """Steps `begin` to `end` of x, whose first column is at `time`.

    With noise, x is drawn. Where `noise` has no steps, x is read and predictions go to `params`.
    """

    x: Samples  # (batch, steps)
    noise: Noise  # (batch, steps or 0, n_noise)
    params: Params  # (batch, steps or 0, n_params)
    sampling: Sampling
    time: int
    begin: int
    end: int
    conditioning: KernelConditioning

    def part(self, rows: slice) -> "Work":
        """The work for some of the streams."""
        frames = self.conditioning.frames[rows]
        return replace(
            self,
            x=self.x[rows],
            noise=self.noise[rows],
            params=self.params[rows],
            conditioning=self.conditioning._replace(frames=frames),
        )


def _kernel_conditioning(conditioning: Conditioning | None, batch: int) -> KernelConditioning:
    if conditioning is None:
        return KernelConditioning(np.zeros((batch, 0, 0, 0), np.float32), 0, 0, 0)
    return KernelConditioning(
        laid_out_frames(conditioning.frames),
        conditioning.start // conditioning.hop,
        conditioning.hop,
        conditioning.frames.shape[1],
    )


class NumbaEngine:
    """See `Engine` for what its methods promise. `options` choose precision and threads."""

    name = "numba"

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Array],
        options: EngineOptions | None = None,
    ) -> None:
        self.config, self.options = config, options or EngineOptions()
        self.distribution = distribution_for(config)
        require_known(self.distribution)
        packed = pack(config, weights)
        self._dequantised = dequantised(packed, self.options.precision)
        self._plan, ring_rows = plan(packed)
        self._sizes = sizes(
            packed, self.options.precision, ring_rows, self.distribution.scalar_input
        )
        self._weights = laid_out(packed, self.options.precision)
        self._scheduler = ThreadScheduler()
        self._pool: ThreadPoolExecutor | None = None
        self._refused = False
        self._compiled: set[bool] = set()

    def describe(self, batch: int) -> str:
        count = self._threads(batch)
        threads = "1 thread" if count == 1 else f"up to {count} threads"
        slow = "" if HOST.tuned else "; no fused multiply-add here, so slower than it could be"
        return f"{self.name} engine ({HOST.name}, {self.options.precision}, {threads}{slow})"

    def init_state(self, batch: int, conditioning: Conditioning | None = None) -> State:
        require_conditioning(self.config, conditioning, batch, 0, 0)
        self._compile(parallel=self._threads(1) > 1)
        silence, n = self.distribution.silence, self._sizes
        embedding = self.distribution.embed_array(np.array(silence), self._dequantised.embedding)
        # Without conditioning all streams start alike, so one is computed and copied.
        unconditioned = np.zeros((1, n.layers, 2 * n.g))
        starts = [
            state_after_silence(self._dequantised, embedding, frame)
            for frame in (unconditioned if conditioning is None else conditioning.frames[:, 0])
        ]
        ring = aligned((len(starts), n.ring_rows, n.r_vectors * LANES))
        ahead = aligned((len(starts), n.layers, BLOCK, 2, n.g_vectors * LANES))
        skips = aligned((len(starts), n.context_rows, n.s_vectors * LANES))
        for stream, start in enumerate(starts):
            for x, layer in zip(start.inputs, self._plan.layers, strict=True):
                _, _, first_row, mask, _, _ = layer
                ring[stream, first_row : first_row + mask + 1, : n.r] = x
            ahead[stream, :, :, :, : n.g] = start.older.reshape(n.layers, 1, 2, n.g)
            skips[stream, :, : n.s] = start.skips
        sums = aligned_copy(skips[:, : n.window].sum(1, dtype=np.float64))
        state = State(ring, ahead, skips, sums, 0, np.full(len(starts), silence, np.int64))
        return state if len(starts) == batch else self.select(state, [0] * batch)

    def select(self, state: State, streams: Sequence[int]) -> State:
        rows = np.asarray(streams, np.int64)
        return State(
            aligned_copy(state.ring[rows]),
            aligned_copy(state.ahead[rows]),
            aligned_copy(state.skips[rows]),
            aligned_copy(state.sums[rows]),
            state.time,
            state.last[rows],
            state.intact,
        )

    def prefill(self, state: State, x: Samples, conditioning: Conditioning | None = None) -> Params:
        if x.size and not 0 <= x.min() <= x.max() < self.distribution.levels:
            raise EngineError(
                f"samples {x.min()} to {x.max()}: "
                f"must be codes from 0 to {self.distribution.levels - 1}"
            )
        params = np.empty((*x.shape, self.distribution.n_params), np.float32)
        no_noise = np.zeros((len(x), 0, self.distribution.n_noise), np.float32)
        x = np.array(x, np.int64, order="C")
        work = Work(
            x=x,
            noise=no_noise,
            params=params,
            sampling=Sampling(),
            time=state.time,
            begin=0,
            end=x.shape[1],
            conditioning=_kernel_conditioning(conditioning, len(x)),
        )
        self._run(state, work, conditioning)
        return params

    def generate(
        self,
        state: State,
        noise: Noise,
        sampling: Sampling,
        conditioning: Conditioning | None = None,
    ) -> Samples:
        self.distribution.check(sampling)
        noise = noise_columns(noise, self.distribution.n_noise)
        x = np.empty(noise.shape[:2], np.int64)
        no_params = np.zeros((len(x), 0, 0), np.float32)
        noise = np.array(noise, np.float32, order="C")
        work = Work(
            x=x,
            noise=noise,
            params=no_params,
            sampling=sampling,
            time=state.time,
            begin=0,
            end=noise.shape[1],
            conditioning=_kernel_conditioning(conditioning, len(x)),
        )
        self._run(state, work, conditioning)
        return x

    def _run(self, state: State, work: Work, conditioning: Conditioning | None) -> None:
        """Do the work in segments, each in one thread or in several, whichever was faster lately.

        Raises EngineError for work that does not fit the state, and when a prediction overflows.
        """
        batch, steps = len(work.x), work.end
        # Compiled code checks no bounds.
        if batch != len(state.last):
            raise EngineError(f"{batch} streams do not go on from a state of {len(state.last)}")
        require_conditioning(self.config, conditioning, batch, state.time, steps)
        if not state.intact:
            raise EngineError(
                "this state was interrupted in the middle of a step; start from another"
            )
        threads = self._threads(batch)
        self._compile(parallel=threads > 1 and batch == 1)
        done = 0
        while done < steps:
            count, parallel = steps - done, False
            if threads > 1:
                count, parallel = self._scheduler.next(steps - done)
            segment = replace(work, begin=done, end=done + count)
            state.intact = False
            with self._scheduler.measuring(count, parallel):
                helpers = self._helpers() if parallel else None
                if helpers is None:
                    predicted = self._run_alone(state, segment)
                elif batch == 1:
                    predicted = self._run_pipelined(state, segment, helpers)
                else:
                    predicted = self._run_split(state, segment, helpers, threads)
            done += count
            state.time += count
            state.intact = True
            if not np.isfinite(predicted).all():
                raise EngineError(
                    f"what the network predicts is not finite after {state.time} samples: "
                    "its weights are too large"
                )

    def _threads(self, batch: int) -> int:
        """The most threads that may advance `batch` streams."""
        most = self.options.most_threads
        if batch > 1:
            return min(most, batch)
        large_enough = sum(array.nbytes for array in self._weights) >= MIN_PIPELINED_BYTES
        return 2 if most > 1 and available() and large_enough else 1

    def _run_alone(self, state: State, work: Work) -> Array:
        """Do the work in this thread. Returns the predictions of the last step, flat."""
        scratch = allocate_scratch(self._sizes, len(work.x))
        advance(self._sizes, self._weights, self._plan, scratch, *self._arguments(state, work))
        return scratch.predicted

    def _run_split(
        self, state: State, work: Work, helpers: ThreadPoolExecutor, threads: int
    ) -> Array:
        """Do the work in several threads, each with some of the streams."""
        bounds = np.linspace(0, len(work.x), threads + 1).astype(int)
        first, *rest = (slice(a, b) for a, b in pairwise(bounds))
        futures: list[Future[Array]] = []
        try:
            for rows in rest:
                futures.append(helpers.submit(self._run_alone, state.part(rows), work.part(rows)))
            predicted = self._run_alone(state.part(first), work.part(first))
        finally:
            # After Ctrl-C too, no thread may go on writing into the state.
            wait(futures)
        return np.concatenate([predicted, *(future.result() for future in futures)])

    def _run_pipelined(self, state: State, work: Work, helpers: ThreadPoolExecutor) -> Array:
        """Do the work of one stream in two threads; see `pipeline`."""
        scratch, flags = allocate_scratch(self._sizes, 1), aligned(FLAGS, np.int64)
        arguments = self._arguments(state, work)
        consumer: Future[None] | None = None
        try:
            consumer = helpers.submit(self._consume, scratch, flags, arguments)
            complete = produce(self._sizes, self._weights, self._plan, scratch, flags, *arguments)
        finally:
            # Whatever happened here, the consumer has to end.
            flags[STOP] = 1
            wait([consumer] if consumer else [])
        consumer.result()
        assert complete
        return scratch.predicted

    def _consume(self, scratch: Scratch, flags: Array, arguments: tuple[Any, ...]) -> None:
        # The consumer takes `ring`, `ahead` and `time`, and the range of steps.
        taken = (*arguments[:3], *arguments[-2:])
        try:
            consume(self._sizes, self._weights, self._plan, scratch, flags, *taken)
        except BaseException:
            # Otherwise the producer would wait for ever.
            flags[STOP] = 1
            raise

    def _arguments(self, state: State, work: Work) -> tuple[Any, ...]:
        """The arguments of `advance_streams` and `produce_stream` from `ring` on."""
        frames = work.conditioning.frames.reshape(-1)
        return (
            state.ring.reshape(-1),
            state.ahead.reshape(-1),
            work.time,
            state.skips.reshape(-1),
            state.sums.reshape(-1),
            state.last,
            work.x,
            work.noise,
            work.params,
            draw_settings(self.distribution, work.sampling),
            work.conditioning._replace(frames=frames),
            work.begin,
            work.end,
        )

    def _helpers(self) -> ThreadPoolExecutor | None:
        """Threads besides this one, started once; None where the system refuses them."""
        if self._pool is None and not self._refused:
            count = self.options.most_threads - 1
            pool, all_started = ThreadPoolExecutor(count, "wavenet"), Event()
            try:
                # A task that does not end makes the pool start another thread for the next.
                for _ in range(count):
                    pool.submit(all_started.wait)
            except RuntimeError:
                self._refused = True
            finally:
                all_started.set()
            if self._refused:
                pool.shutdown()
                return None
            self._pool = pool
        return self._pool

    def _compile(self, parallel: bool) -> None:
        """Compile the kernels before anything is timed. With no steps they do nothing else."""
        if parallel in self._compiled:
            return
        empty = aligned((1, 1, LANES))
        state = State(
            empty, empty, empty, aligned((1, LANES), np.float64), 0, np.zeros(1, np.int64)
        )
        x, none = np.zeros((1, 0), np.int64), np.zeros((1, 0, 0), np.float32)
        work = Work(x, none, none, Sampling(), 0, 0, 0, _kernel_conditioning(None, 1))
        arguments = self._arguments(state, work)
        with reporting(self.options.report):
            scratch, flags = allocate_scratch(self._sizes, 1), aligned(FLAGS, np.int64)
            advance(self._sizes, self._weights, self._plan, scratch, *arguments)
            if parallel:
                produce(self._sizes, self._weights, self._plan, scratch, flags, *arguments)
                self._consume(scratch, flags, arguments)
        self._compiled |= {parallel, False}
