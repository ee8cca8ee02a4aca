"""The plain engine for GPUs: the reference's step in PyTorch, captured once in a CUDA graph.

The graph is replayed for every sample. It computes in double precision, for all streams at once:

    x = embedding[previous samples]
    for each layer:
        ring[t] = x
        h = bias + the taps' rows of the ring @ conv + conditioning at t
        residual, skip = tanh(first half of h) * sigmoid(second half) @ out + bias
        x, total = x + residual, total + skip
    params = relu(relu(total) @ hidden + bias) @ output + bias
    codes[i] = a draw from params, with noise[i]
    t, i = t + 1, i + 1

A graph reads and writes the same memory each time. So the state is copied there before a block of
steps and back after it, and the streams' times and samplings lie on the device. A graph is of one
number of streams. Those of the last few numbers are kept, for streams that join and leave.

The engine takes every model that the reference takes, but for those with a context module. Nothing
is fused: a step starts some ten small kernels for each layer. With the batch, only the last of
sixteen digits changes.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from wavenet.config import ModelConfig
from wavenet.engines.engine import overflow
from wavenet.engines.gpu.network import DeviceEngine, Network, State, device_for, device_name
from wavenet.engines.gpu.torch_sampling import Samplings, draw_for, is_limited
from wavenet.engines.options import DEFAULTS, EngineOptions
from wavenet.errors import UnsupportedModelError
from wavenet.glossary import Array, Noise, Samples
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.distributions.base import Sampling

# Steps from one copy of the state to the next.
BLOCK_STEPS = 256
# Steps before a capture, in which libraries set themselves up.
WARM_UP_STEPS = 3
# Captured steps that are kept, and the memory that they may take when another one is captured.
MOST_STEPS, MOST_BYTES = 8, 1 << 28

# Streams of the batch, the conditioning's hop, and whether top-k or top-p is looked at.
Kind = tuple[int, int, bool]


class CudaGraphEngine(DeviceEngine):
    name = "cuda-graph"

    def __init__(
        self, config: ModelConfig, weights: Mapping[str, Array], options: EngineOptions = DEFAULTS
    ) -> None:
        options = options.for_engine(rounds_weights=False)
        if options.precision != "fp32":
            reason = f"the {self.name} engine computes in double precision"
            advice = "use `engine` triton or numba"
            raise UnsupportedModelError(f"`precision` {options.precision}", reason, advice)
        super().__init__(Network(config, weights, device_for(self.name), torch.float64), options)
        # By their kind, the least recently used first.
        self._steps: dict[Kind, Step] = {}

    def describe(self, batch: int) -> str:
        return f"cuda-graph engine ({device_name(self._network.device)}, double precision)"

    @torch.no_grad()
    def _generate(
        self,
        state: State,
        noise: Noise,
        samplings: Sequence[Sampling],
        conditioning: Conditioning | None,
    ) -> Samples:
        batch, steps = noise.shape[:2]
        conditioning = self._network.conditioning(conditioning)
        hop = conditioning.hop if conditioning else 0
        step = self._step((batch, hop, any(map(is_limited, samplings))))
        device = self._network.device
        by_step = torch.tensor(noise, dtype=torch.float64, device=device).transpose(0, 1)
        codes = torch.empty(steps, batch, dtype=torch.int64, device=device)
        for i in range(0, steps, BLOCK_STEPS):
            block = by_step[i : i + BLOCK_STEPS]  # (time, batch, n_noise)
            codes[i : i + BLOCK_STEPS] = step.run(state, block, samplings, conditioning)
        if not torch.isfinite(step.params).all():
            raise overflow(state.times)
        x: Samples = codes.t().contiguous().cpu().numpy()
        return x

    def _step(self, kind: Kind) -> "Step":
        """The step of a kind, captured unless it was kept."""
        steps = self._steps
        step = steps.pop(kind, None)
        if step is None:
            # What many streams take is free before the next step takes memory.
            while len(steps) >= MOST_STEPS or sum(s.nbytes for s in steps.values()) > MOST_BYTES:
                del steps[next(iter(steps))]
            try:
                step = Step(self._network, *kind)
            except torch.OutOfMemoryError:
                if not steps:
                    raise
                steps.clear()
                step = Step(self._network, *kind)
        steps[kind] = step
        return step


class Step:
    """One step of `batch` streams, and the memory that it works in.

    `hop` is the conditioning's, 0 without any; `limited` says whether top-k or top-p is looked at.
    """

    def __init__(self, network: Network, batch: int, hop: int, limited: bool) -> None:
        self._network, self._hop = network, hop
        n = network

        def numbers(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=n.dtype, device=n.device)

        def counters(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.int64, device=n.device)

        self._rings = numbers(batch, n.ring_rows, n.r)
        self._last = counters(batch)
        self._times = counters(batch, 1)
        # The step's number within a block.
        self._index = counters(1)
        # Samples from the first of `_frames` to the present.
        self._frame_offsets = counters(batch)
        self._streams = torch.arange(batch, device=n.device)
        self._samplings = Samplings.of([Sampling()] * batch, n.distribution, n.dtype, n.device)
        self._samplings = self._samplings._replace(limited=limited)
        # Uniforms lie strictly inside (0, 1), also those of steps before the capture.
        self._noise = numbers(BLOCK_STEPS, batch, n.distribution.n_noise) + 0.5
        self._codes = counters(BLOCK_STEPS, batch)
        frames = (BLOCK_STEPS - 1) // hop + 3 if hop else 0
        self._frames = numbers(batch, frames, n.layers, 2 * n.g)
        self.params = numbers(batch, n.distribution.n_params)
        self._draw = draw_for(n.distribution)
        self._replay = self._captured() if n.device.type == "cuda" else self._advance

    @property
    def nbytes(self) -> int:
        """The memory of its tensors. What the graph itself holds comes on top."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, Tensor))

    def run(
        self,
        state: State,
        noise: Tensor,
        samplings: Sequence[Sampling],
        conditioning: Conditioning | None,
    ) -> Tensor:
        """Advance the state by a step for each row of the noise, at most BLOCK_STEPS.

        noise (steps, batch, n_noise) -> codes (steps, batch). The frames are on the device.
        """
        steps = len(noise)
        self._rings.copy_(state.rings)
        self._last.copy_(state.last)
        self._noise[:steps] = noise
        self._times.copy_(torch.from_numpy(state.times)[:, None])
        self._index.zero_()
        given = Samplings.of(
            samplings, self._network.distribution, self._network.dtype, self._network.device
        )
        for name in ("temperature", "top_k", "top_p"):
            getattr(self._samplings, name).copy_(getattr(given, name))
        if conditioning is not None:
            self._place_frames(state.times, conditioning)
        for _ in range(steps):
            self._replay()
        state.rings.copy_(self._rings)
        state.last = self._last.clone()
        state.times += steps
        return self._codes[:steps]

    def _place_frames(self, times: Array, conditioning: Conditioning) -> None:
        """Copy the frames that each stream's next steps lie between."""
        frames, starts, hop = conditioning
        first, offsets = np.divmod(times - starts, hop)
        numbers = first[:, None] + np.arange(self._frames.shape[1])
        numbers = torch.from_numpy(numbers.clip(max=frames.shape[1] - 1)).to(frames.device)
        self._frames.copy_(frames[self._streams[:, None], numbers])
        self._frame_offsets.copy_(torch.from_numpy(offsets))

    def _captured(self) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._network.device):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP_STEPS):
                    self._advance()
            torch.cuda.current_stream().wait_stream(stream)
            # Other threads, such as training's, may go on to take memory and to pin it.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._advance()
        replay: Callable[[], None] = graph.replay
        return replay

    def _advance(self) -> None:
        n, w = self._network, self._network.weights
        # The ring rows that each layer's taps read, the present one last.
        ring_rows = self._times[..., None] - w.offsets & w.ring_masks[:, None]
        rows = w.ring_starts[:, None] + ring_rows  # (batch, L, T)
        conditioning_now = self._conditioning_now()
        x = n.distribution.embed(self._last, w.embedding)  # (batch, R)
        total = torch.zeros_like(self._rings[:, 0, :1])
        for layer in range(n.layers):
            self._rings[self._streams, rows[:, layer, -1]] = x
            taps = self._rings[self._streams[:, None], rows[:, layer]].flatten(1)  # (batch, T R)
            conditioning = None if conditioning_now is None else conditioning_now[:, layer]
            x, skip = n.layer(layer, x, taps, conditioning)
            total = total + skip
        self.params.copy_(n.head(total))
        noise = self._noise.index_select(0, self._index)[0]  # (batch, n_noise)
        self._last.copy_(self._draw(self.params, noise, self._samplings))
        self._codes.index_copy_(0, self._index, self._last[None])
        for counter in (self._times, self._index, self._frame_offsets):
            counter += 1

    def _conditioning_now(self) -> Tensor | None:
        """The conditioning at this time, between the two frames around it: (batch, L, 2G)."""
        hop = self._hop
        if hop == 0:
            return None
        frame = self._frame_offsets // hop
        low = self._frames[self._streams, frame]
        high = self._frames[self._streams, frame + 1]
        interp_weight = (self._frame_offsets % hop).to(self._network.dtype) / hop
        return torch.lerp(low, high, interp_weight[:, None, None])
