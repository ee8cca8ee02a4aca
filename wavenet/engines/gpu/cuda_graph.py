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
steps and back after it, and the time is a number on the device. The engine takes every model that
the reference takes, but for those with a context module. Nothing is fused: a step starts some ten
small kernels for each layer. With the batch, only the last of sixteen digits changes.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from wavenet.audio.quantization import FULL_SCALE
from wavenet.config import ModelConfig
from wavenet.engines.gpu.network import DeviceEngine, DeviceState, Network, device_for, device_name
from wavenet.engines.options import EngineOptions
from wavenet.errors import EngineError, UnsupportedModelError
from wavenet.glossary import Array, Noise, Samples
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.distributions.base import Sampling, noise_columns
from wavenet.model.distributions.mixture_mass import LARGEST_LOG_SCALE, LEAST_SCALE, MEAN_UNIT

# Steps from one copy of the state to the next.
BLOCK_STEPS = 256
# Steps before a capture, in which libraries set themselves up.
WARM_UP_STEPS = 3


class CudaGraphEngine(DeviceEngine):
    name = "cuda-graph"

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Array],
        options: EngineOptions | None = None,
    ) -> None:
        if options and options.precision != "fp32":
            raise UnsupportedModelError(
                f"--precision {options.precision}: the cuda-graph engine computes in double "
                "precision; use --engine triton or numba"
            )
        self._network = Network(config, weights, device_for(self.name), torch.float64)
        self.distribution = self._network.distribution
        if self.distribution.kind not in DRAWS:
            raise UnsupportedModelError(
                f"the cuda-graph engine has no draw for a {self.distribution.kind} output; "
                "use --engine reference"
            )
        self._step: Step | None = None

    def describe(self, batch: int) -> str:
        return f"cuda-graph engine ({device_name(self._network.device)}, double precision)"

    @torch.no_grad()
    def generate(
        self,
        state: DeviceState,
        noise: Noise,
        sampling: Sampling,
        conditioning: Conditioning | None = None,
    ) -> Samples:
        self.distribution.check(sampling)
        noise = noise_columns(noise, self.distribution.n_noise)
        batch, steps = noise.shape[:2]
        network = self._network
        network.check(state, batch, steps, conditioning)
        step = self._step_for(batch, sampling, 0 if conditioning is None else conditioning.hop)
        uniforms = torch.tensor(noise, dtype=torch.float64, device=network.device)
        by_step = uniforms.transpose(0, 1)  # (time, batch, n_noise)
        frames = None if conditioning is None else network.frames(conditioning)
        codes = torch.empty(steps, batch, dtype=torch.int64, device=network.device)
        for i in range(0, steps, BLOCK_STEPS):
            block = by_step[i : i + BLOCK_STEPS]
            codes[i : i + BLOCK_STEPS] = step.run(state, block, conditioning, frames)
        if not torch.isfinite(step.params).all():
            raise EngineError(
                f"what the network predicts is not finite after {state.time} samples: "
                "its weights are too large"
            )
        x: Samples = codes.t().contiguous().cpu().numpy()
        return x

    def _step_for(self, batch: int, sampling: Sampling, hop: int) -> "Step":
        """The last step that was captured if it is of this kind, otherwise a new one.

        A new one takes the old one's place: each holds memory for all its streams.
        """
        if self._step is None or self._step.kind != (batch, sampling, hop):
            # Its memory is free before the next one takes some.
            self._step = None
            self._step = Step(self._network, batch, sampling, hop)
        return self._step


class Step:
    """One step of `batch` streams, and the memory that it works in.

    `hop` is the conditioning's, 0 without any.
    """

    def __init__(self, network: Network, batch: int, sampling: Sampling, hop: int) -> None:
        self.kind = (batch, sampling, hop)
        self._network, self._sampling, self._hop = network, sampling, hop
        n = network

        def numbers(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=n.dtype, device=n.device)

        def counters(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.int64, device=n.device)

        self._rings = numbers(batch, n.ring_rows, n.r)
        self._last = counters(batch)
        self._time = counters(1)
        # The step's number within a block.
        self._index = counters(1)
        # Samples from the first of `_frames` to the present.
        self._frame_offset = counters(1)
        # Uniforms lie strictly inside (0, 1), also those of steps before the capture.
        self._noise = numbers(BLOCK_STEPS, batch, n.distribution.n_noise) + 0.5
        self._codes = counters(BLOCK_STEPS, batch)
        frames = (BLOCK_STEPS - 1) // hop + 3 if hop else 0
        self._frames = numbers(batch, frames, n.layers, 2 * n.g)
        self.params = numbers(batch, n.distribution.n_params)
        self._conv = n.weights.conv.flatten(1, 2)  # (L, K R, 2G)
        self._draw = DRAWS[n.distribution.kind]
        self._replay = self._captured() if n.device.type == "cuda" else self._advance

    def run(
        self,
        state: DeviceState,
        noise: Tensor,
        conditioning: Conditioning | None,
        frames: Tensor | None,
    ) -> Tensor:
        """Advance the state by a step for each row of the noise, at most BLOCK_STEPS.

        noise (steps, batch, n_noise), frames (batch, F, L, 2G) -> codes (steps, batch).
        """
        steps = len(noise)
        self._rings.copy_(state.rings)
        self._last.copy_(state.last)
        self._noise[:steps] = noise
        self._time.fill_(state.time)
        self._index.zero_()
        if conditioning is not None and frames is not None:
            first, offset = divmod(state.time - conditioning.start, conditioning.hop)
            block = frames[:, first : first + self._frames.shape[1]]
            self._frames[:, : block.shape[1]] = block
            self._frame_offset.fill_(offset)
        for _ in range(steps):
            self._replay()
        state.rings.copy_(self._rings)
        state.last = self._last.clone()
        state.time += steps
        return self._codes[:steps]

    def _captured(self) -> Callable[[], None]:
        side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(WARM_UP_STEPS):
                self._advance()
        torch.cuda.current_stream().wait_stream(side_stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._advance()
        replay: Callable[[], None] = graph.replay
        return replay

    def _advance(self) -> None:
        n, w = self._network, self._network.weights
        # The ring rows that each layer's taps read, the present one last.
        ring_rows = self._time - w.offsets & w.ring_masks[:, None]
        rows = w.ring_starts[:, None] + ring_rows  # (L, T)
        conditioning_now = self._conditioning_now()
        x = n.distribution.embed(self._last, w.embedding)  # (batch, R)
        total = torch.zeros_like(self._rings[:, 0, :1])
        for layer in range(n.layers):
            self._rings.index_copy_(1, rows[layer, -1:], x[:, None])
            taps = self._rings.index_select(1, rows[layer]).flatten(1)  # (batch, T R)
            h = torch.addmm(w.conv_bias[layer], taps, self._conv[layer])
            if conditioning_now is not None:
                h = h + conditioning_now[:, layer]
            filtered, gate = h.chunk(2, 1)
            z = torch.tanh(filtered) * torch.sigmoid(gate)  # (batch, G)
            out = torch.addmm(w.out_bias[layer], z, w.out[layer])  # (batch, R + S)
            x, total = x + out[:, : n.r], total + out[:, n.r :]
        hidden = torch.addmm(w.hidden_bias, total.relu(), w.hidden).relu()  # (batch, H)
        params = torch.addmm(w.output_bias, hidden, w.output)
        self.params.copy_(params)
        noise = self._noise.index_select(0, self._index)[0]  # (batch, n_noise)
        self._last.copy_(self._draw(params, noise, self._sampling))
        self._codes.index_copy_(0, self._index, self._last[None])
        for counter in (self._time, self._index, self._frame_offset):
            counter += 1

    def _conditioning_now(self) -> Tensor | None:
        """The conditioning at this time, between the two frames around it: (batch, L, 2G)."""
        hop = self._hop
        if not hop:
            return None
        frame = self._frame_offset // hop
        low = self._frames.index_select(1, frame)[:, 0]
        high = self._frames.index_select(1, frame + 1)[:, 0]
        interp_weight = (self._frame_offset % hop).to(self._network.dtype) / hop
        return torch.lerp(low, high, interp_weight)


# --- draws: params (batch, n_params), noise (batch, n_noise) -> codes (batch,) --------------------
# What each computes, `Distribution.draw` specifies.


def _categorical(params: Tensor, noise: Tensor, sampling: Sampling) -> Tensor:
    if sampling.temperature == 0:
        return params.argmax(1)
    logits = params / sampling.temperature
    p = (logits - logits.amax(1, keepdim=True)).exp()
    if sampling.top_p < 1 or 0 < sampling.top_k < p.shape[1]:
        ranked, order = p.sort(dim=1, descending=True, stable=True)
        if sampling.top_k > 0:
            ranked[:, sampling.top_k :] = 0
        before = ranked.cumsum(1) - ranked
        ranked = ranked.masked_fill(before >= sampling.top_p * ranked.sum(1, keepdim=True), 0)
        p = torch.zeros_like(p).scatter(1, order, ranked)
    return _first_above(p, noise)


def _first_above(p: Tensor, noise: Tensor) -> Tensor:
    """The first index whose cumulative weight exceeds the noise's first column times the sum."""
    cumulative = p.cumsum(1)
    return (cumulative > noise[:, :1] * cumulative[:, -1:]).int().argmax(1)


def _logistic(params: Tensor, noise: Tensor, sampling: Sampling) -> Tensor:
    u = noise[:, 1]
    return _mixture(params, noise, sampling, torch.log(u / (1 - u)))


def _gaussian(params: Tensor, noise: Tensor, sampling: Sampling) -> Tensor:
    # Box and Muller's transform of two uniforms.
    radius = (-2 * noise[:, 1].log()).sqrt()
    return _mixture(params, noise, sampling, radius * (2 * math.pi * noise[:, 2]).cos())


def _mixture(params: Tensor, noise: Tensor, sampling: Sampling, standard: Tensor) -> Tensor:
    logits, means, log_scales = params.chunk(3, 1)
    scales = log_scales.clamp(max=LARGEST_LOG_SCALE).exp() + LEAST_SCALE
    if sampling.temperature == 0:
        chosen = (logits - scales.log()).argmax(1, keepdim=True)
    else:
        p = ((logits - logits.amax(1, keepdim=True)) / sampling.temperature).exp()
        chosen = _first_above(p, noise)[:, None]
    mean = means.gather(1, chosen)[:, 0] * MEAN_UNIT
    scale = scales.gather(1, chosen)[:, 0]
    wav = mean + scale * sampling.temperature * standard
    return (wav * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1).long() + FULL_SCALE


DRAWS: dict[str, Callable[[Tensor, Tensor, Sampling], Tensor]] = {
    "categorical": _categorical,
    "logistic": _logistic,
    "gaussian": _gaussian,
}
