"""The engine for CPUs: compiled loops on explicit vectors, one thread or several, float32 or bf16 weights.

`kernels` holds the loops and says how memory is laid out, `pipeline` the form for two threads, `vectors` what both are made of, `panels`
how weights are packed, `pace` when threads are used.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import pairwise
from threading import Event
from typing import Any

import numpy as np

from wavenet.arrays import Array, Noise, Params, Samples
from wavenet.config import ModelConfig
from wavenet.engines.conditioning import Conditioning, require_conditioning
from wavenet.engines.cpu.compiled import advance, consume, produce, reporting
from wavenet.engines.cpu.kernels import KernelConditioning, Scratch, scratch
from wavenet.engines.cpu.panels import (
    BLOCK,
    aligned,
    aligned_copy,
    dequantised,
    endless_silence,
    laid_out,
    laid_out_frames,
    plan,
    sizes,
)
from wavenet.engines.cpu.pipeline import FLAGS, STOP, available
from wavenet.engines.cpu.sampling import draw_as, require_known
from wavenet.engines.cpu.thread_scheduler import ThreadScheduler
from wavenet.engines.cpu.vectors import HOST, LANES
from wavenet.engines.options import EngineOptions
from wavenet.engines.weights import pack
from wavenet.errors import EngineError
from wavenet.model.distributions.base import Sampling, noise_columns
from wavenet.model.distributions.registry import distribution_for

WORTH_SHARING = (
    1 << 19
)  # bytes of weights above which one stream may run on two cores; smaller ones only wait for each other


@dataclass
class State:
    """All streams' memory, the time they share and their last samples."""

    ring: Array  # (batch, rows, R')
    ahead: Array  # (batch, L, 8, 2 G')
    skips: Array  # (batch, rows, S') the context module's ring, and what it holds added up over a window:
    sums: Array  # (batch, S') float64
    time: int
    last: Array  # (batch,)
    whole: bool = True  # False once it was left in the middle of a step

    def part(self, rows: slice) -> "State":
        """Some of the streams: the same memory, not a copy."""
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
    """Steps `begin` to `end` of x (batch, steps), which starts at `time`: drawn from noise (batch, steps, n_noise), or given, with
    predictions written to params."""

    x: Samples
    noise: Noise
    params: Params
    sampling: Sampling
    time: int
    begin: int
    end: int
    told: KernelConditioning

    def part(self, rows: slice) -> "Work":
        """For some of the streams."""
        told = self.told._replace(frames=self.told.frames[rows])
        return replace(
            self, x=self.x[rows], noise=self.noise[rows], params=self.params[rows], told=told
        )


def _kernel_conditioning(cond: Conditioning | None, batch: int) -> KernelConditioning:
    if cond is None:
        return KernelConditioning(np.zeros((batch, 0, 0, 0), np.float32), 0, 0, 0)
    return KernelConditioning(
        laid_out_frames(cond.frames), cond.first, cond.hop, cond.frames.shape[1]
    )


class NumbaEngine:
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
        self._heard = dequantised(packed, self.options.precision)
        self._plan, ring_rows = plan(packed)
        self._sizes = sizes(
            packed, self.options.precision, ring_rows, self.distribution.scalar_input
        )
        self._weights = laid_out(packed, self.options.precision)
        self._pace = ThreadScheduler()
        self._pool: ThreadPoolExecutor | None = None
        self._refused = False
        self._compiled: set[bool] = set()

    def describe(self, batch: int) -> str:
        threads = self._threads(batch)
        sharing = "1 thread" if threads == 1 else f"up to {threads} threads"
        slow = "" if HOST.tuned else "; no fused multiply-add here, so slower than it could be"
        return f"{self.name} engine ({HOST.name}, {self.options.precision}, {sharing}{slow})"

    def init_state(self, batch: int, cond: Conditioning | None = None) -> State:
        require_conditioning(self.config, cond, batch, 0, 0)
        self._compile(shared=self._threads(1) > 1)
        silence, n = self.distribution.silence, self._sizes
        heard = self.distribution.embed_array(np.array(silence), self._heard.embedding)
        unconditioned = np.zeros((1, n.layers, 2 * n.g))  # all streams are alike
        starts = [
            endless_silence(self._heard, heard, under)
            for under in (unconditioned if cond is None else cond.frames[:, 0])
        ]
        ring = aligned((len(starts), n.ring_rows, n.r_vectors * LANES))
        ahead = aligned((len(starts), n.layers, BLOCK, 2, n.g_vectors * LANES))
        skips = aligned((len(starts), n.context_rows, n.s_vectors * LANES))
        for stream, start in enumerate(starts):
            for x, (_, _, first, mask, _, _) in zip(start.inputs, self._plan.layers, strict=True):
                ring[stream, first : first + mask + 1, : n.r] = x
            ahead[stream, :, :, :, : n.g] = start.older.reshape(n.layers, 1, 2, n.g)
            skips[stream, :, : n.s] = start.skips
        sums = aligned_copy(skips[:, : n.window].sum(1, dtype=np.float64))
        state = State(ring, ahead, skips, sums, 0, np.full(len(starts), silence, np.int64))
        return state if len(starts) == batch else self.select(state, [0] * batch)

    def select(self, state: State, streams: Sequence[int]) -> State:
        which = np.asarray(streams, np.int64)
        ring, ahead, skips, sums = (
            aligned_copy(array[which])
            for array in (state.ring, state.ahead, state.skips, state.sums)
        )
        return State(ring, ahead, skips, sums, state.time, state.last[which], state.whole)

    def prefill(self, state: State, x: Samples, cond: Conditioning | None = None) -> Params:
        if x.size and not 0 <= x.min() <= x.max() < self.distribution.levels:
            raise EngineError(
                f"samples {x.min()} to {x.max()}: must be codes from 0 to {self.distribution.levels - 1}"
            )
        params = np.empty((*x.shape, self.distribution.n_params), np.float32)
        none = np.zeros((len(x), 0, self.distribution.n_noise), np.float32)
        x = np.array(x, np.int64, order="C")
        self._run(
            state,
            Work(
                x,
                none,
                params,
                Sampling(),
                state.time,
                0,
                x.shape[1],
                _kernel_conditioning(cond, len(x)),
            ),
            cond,
        )
        return params

    def generate(
        self, state: State, noise: Noise, sampling: Sampling, cond: Conditioning | None = None
    ) -> Samples:
        self.distribution.check(sampling)
        noise = noise_columns(noise, self.distribution.n_noise)
        x = np.empty(noise.shape[:2], np.int64)
        none = np.zeros((len(x), 0, 0), np.float32)
        noise = np.array(noise, np.float32, order="C")
        self._run(
            state,
            Work(
                x,
                noise,
                none,
                sampling,
                state.time,
                0,
                noise.shape[1],
                _kernel_conditioning(cond, len(x)),
            ),
            cond,
        )
        return x

    def _run(self, state: State, work: Work, cond: Conditioning | None) -> None:
        """Do the work in stretches, each shared between threads or not, whichever was faster lately."""
        batch, steps = len(work.x), work.end
        if batch != len(state.last):  # compiled code checks nothing
            raise EngineError(f"{batch} streams do not go on from a state of {len(state.last)}")
        require_conditioning(self.config, cond, batch, state.time, steps)
        if not state.whole:
            raise EngineError(
                "this state was interrupted in the middle of a step; start from another"
            )
        threads = self._threads(batch)
        self._compile(shared=threads > 1 and batch == 1)
        done = 0
        while done < steps:
            count, shared = self._pace.next(steps - done) if threads > 1 else (steps - done, False)
            stretch = replace(work, begin=done, end=done + count)
            state.whole = False
            with self._pace.measuring(count, shared):
                helpers = self._helpers() if shared else None
                if helpers is None:
                    logits = self._alone(state, stretch)
                elif batch == 1:
                    logits = self._piped(state, stretch, helpers)
                else:
                    logits = self._split(state, stretch, helpers, threads)
            done += count
            state.time += count
            state.whole = True
            if not np.isfinite(logits).all():
                raise EngineError(
                    f"what the network predicts is not finite after {state.time} samples: its weights are too large"
                )

    def _threads(self, batch: int) -> int:
        """How many threads may serve so many streams."""
        most = self.options.most_threads
        if batch > 1:
            return min(most, batch)
        return (
            2
            if most > 1 and available() and sum(a.nbytes for a in self._weights) >= WORTH_SHARING
            else 1
        )

    def _alone(self, state: State, work: Work) -> Array:
        """In this thread. Returns the last step's logits."""
        space = scratch(self._sizes, len(work.x))
        advance(self._sizes, self._weights, self._plan, space, *self._arguments(state, work))
        return space.logits

    def _split(self, state: State, work: Work, helpers: ThreadPoolExecutor, threads: int) -> Array:
        """Each thread takes some of the streams."""
        bounds = np.linspace(0, len(work.x), threads + 1).astype(int)
        parts = [slice(a, b) for a, b in pairwise(bounds)]
        others: list[Future[Array]] = []
        try:
            for rows in parts[1:]:
                others.append(helpers.submit(self._alone, state.part(rows), work.part(rows)))
            mine = self._alone(state.part(parts[0]), work.part(parts[0]))
        finally:
            wait(others)  # Ctrl-C included: nobody may go on writing into the state
        return np.concatenate([mine, *(other.result() for other in others)])

    def _piped(self, state: State, work: Work, helpers: ThreadPoolExecutor) -> Array:
        """One stream in two threads."""
        space, flags = scratch(self._sizes, 1), aligned(FLAGS, np.int64)
        arguments = self._arguments(state, work)
        helper: Future[None] | None = None
        try:
            helper = helpers.submit(self._trail, space, flags, arguments)
            complete = produce(self._sizes, self._weights, self._plan, space, flags, *arguments)
        finally:
            flags[STOP] = 1  # whatever happened, the helper ends
            wait([helper] if helper else [])
        helper.result()
        assert complete
        return space.logits

    def _trail(self, space: Scratch, flags: Array, arguments: tuple[Any, ...]) -> None:
        try:
            consume(
                self._sizes,
                self._weights,
                self._plan,
                space,
                flags,
                *arguments[:3],
                *arguments[-2:],
            )
        except BaseException:
            flags[STOP] = 1  # lead would wait for ever
            raise

    def _arguments(self, state: State, work: Work) -> tuple[Any, ...]:
        told = work.told._replace(frames=work.told.frames.reshape(-1))
        return (
            state.ring.reshape(-1), state.ahead.reshape(-1), work.time, state.skips.reshape(-1), state.sums.reshape(-1), state.last,
            work.x, work.noise, work.params, draw_as(self.distribution, work.sampling), told, work.begin, work.end,
        )  # fmt: skip

    def _helpers(self) -> ThreadPoolExecutor | None:
        """Threads to share work with, started once; None where the system refuses them."""
        if self._pool is None and not self._refused:
            pool, all_there = ThreadPoolExecutor(self.options.most_threads - 1, "wavenet"), Event()
            try:
                for _ in range(self.options.most_threads - 1):
                    pool.submit(
                        all_there.wait
                    )  # a task that does not end needs a thread of its own
            except RuntimeError:
                self._refused = True
            finally:
                all_there.set()
            if self._refused:
                pool.shutdown()
                return None
            self._pool = pool
        return self._pool

    def _compile(self, shared: bool) -> None:
        """Have the kernels ready, before anything is timed: with no steps they do nothing."""
        if shared in self._compiled:
            return
        empty = aligned((1, 1, LANES))
        state = State(
            empty, empty, empty, aligned((1, LANES), np.float64), 0, np.zeros(1, np.int64)
        )
        x, none = np.zeros((1, 0), np.int64), np.zeros((1, 0, 0), np.float32)
        arguments = self._arguments(
            state, Work(x, none, none, Sampling(), 0, 0, 0, _kernel_conditioning(None, 1))
        )
        with reporting(self.options.report):
            space, flags = scratch(self._sizes, 1), aligned(FLAGS, np.int64)
            advance(self._sizes, self._weights, self._plan, space, *arguments)
            if shared:
                produce(self._sizes, self._weights, self._plan, space, flags, *arguments)
                consume(self._sizes, self._weights, self._plan, space, flags, *arguments[:3], 0, 0)
        self._compiled |= {shared, False}
