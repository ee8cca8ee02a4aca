"""The plain engine for GPUs: the reference's step in double precision PyTorch, captured once in a CUDA graph and replayed for every sample.

    each step, all streams at once:
        x = embedding[the samples before]
        for each layer:
            ring[t] = x
            h = bias + the taps' rows of the ring @ conv + what conditions say at t
            residual, skip = tanh(first half of h) * sigmoid(second half) @ out + bias
            x, total = x + residual, total + skip
        params = relu(relu(total) @ hidden + bias) @ output + bias
        codes[i] = a draw from params, with noise[i]
        t, i = t + 1, i + 1

A graph reads and writes the same memory each time, so the streams' memory is copied there before a stretch of steps and back after it, and
the time is a number on the device. It takes every model that the reference takes. Nothing is fused: each step starts some ten small
kernels a layer. In double precision, what changes with the batch is the last of sixteen digits.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from wavenet.arrays import Array, Noise, Samples
from wavenet.audio.quantization import FULL_SCALE
from wavenet.config import ModelConfig
from wavenet.engines.conditioning import Conditioning
from wavenet.engines.gpu.network import DeviceEngine, DeviceState, Network, device_for, device_name
from wavenet.engines.options import EngineOptions
from wavenet.errors import EngineError, UnsupportedModelError
from wavenet.model.distributions.base import Sampling, noise_columns
from wavenet.model.distributions.mixture_mass import LARGEST_LOG_SCALE, LEAST_SCALE, MEAN_UNIT

STRETCH = 256  # steps between copies of the streams' memory
WARM_UP = 3  # steps before a capture, in which libraries set themselves up


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
                f"--precision {options.precision}: the cuda-graph engine computes in double precision; use --engine triton or numba"
            )
        self._network = Network(config, weights, device_for(self.name), torch.float64)
        self.distribution = self._network.distribution
        if self.distribution.kind not in DRAWS:
            raise UnsupportedModelError(
                f"the cuda-graph engine has no draw for a {self.distribution.kind} output; use --engine reference"
            )
        self._step: Step | None = None

    def describe(self, batch: int) -> str:
        return f"cuda-graph engine ({device_name(self._network.device)}, double precision)"

    @torch.no_grad()
    def generate(
        self, state: DeviceState, noise: Noise, sampling: Sampling, cond: Conditioning | None = None
    ) -> Samples:
        self.distribution.check(sampling)
        wide = noise_columns(noise, self.distribution.n_noise)
        batch, steps = wide.shape[:2]
        self._network.check(state, batch, steps, cond)
        step = self._step_for(batch, sampling, 0 if cond is None else cond.hop)
        uniforms = torch.tensor(wide, dtype=torch.float64, device=self._network.device).transpose(
            0, 1
        )
        frames = None if cond is None else self._network.frames(cond)
        codes = torch.empty(steps, batch, dtype=torch.int64, device=self._network.device)
        for i in range(0, steps, STRETCH):
            codes[i : i + STRETCH] = step.run(state, uniforms[i : i + STRETCH], cond, frames)
        if not torch.isfinite(step.params).all():
            raise EngineError(
                f"what the network predicts is not finite after {state.time} samples: its weights are too large"
            )
        found: Samples = codes.t().contiguous().cpu().numpy()
        return found

    def _step_for(self, batch: int, sampling: Sampling, hop: int) -> "Step":
        """The last one made, if it is of that kind. Another takes its place: each holds memory for all its streams."""
        if self._step is None or self._step.made_for != (batch, sampling, hop):
            self._step = None
            self._step = Step(self._network, batch, sampling, hop)
        return self._step


class Step:
    """One step of `batch` streams, and the memory that it works in."""

    def __init__(self, network: Network, batch: int, sampling: Sampling, hop: int) -> None:
        self.made_for = (batch, sampling, hop)
        self._network, self._sampling = network, sampling
        n, w = network, network.weights

        def numbers(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=n.dtype, device=n.device)

        def counters(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.int64, device=n.device)

        self._rings, self._last = numbers(batch, n.ring_rows, n.r), counters(batch)
        self._time, self._at, self._since = counters(1), counters(1), counters(1)
        self._noise, self._codes = (
            numbers(STRETCH, batch, n.distribution.n_noise) + 0.5,
            counters(STRETCH, batch),
        )
        self._frames = numbers(batch, (STRETCH - 1) // hop + 3 if hop else 0, n.layers, 2 * n.g)
        self.params = numbers(batch, n.distribution.n_params)
        self._conv = w.conv.flatten(1, 2)  # (L, K R, 2G)
        self._draw = DRAWS[n.distribution.kind]
        self._replay = self._captured() if n.device.type == "cuda" else self._advance

    def run(
        self, state: DeviceState, noise: Tensor, cond: Conditioning | None, frames: Tensor | None
    ) -> Tensor:
        """As many steps as there is noise (steps, batch, n_noise), at most STRETCH: codes (steps, batch)."""
        steps = len(noise)
        self._rings.copy_(state.rings)
        self._last.copy_(state.last)
        self._noise[:steps] = noise
        self._time.fill_(state.time)
        self._at.zero_()
        if cond is not None and frames is not None:
            first = state.time // cond.hop - cond.first
            some = frames[:, first : first + self._frames.shape[1]]
            self._frames[:, : some.shape[1]] = some
            self._since.fill_(state.time % cond.hop)
        for _ in range(steps):
            self._replay()
        state.rings.copy_(self._rings)
        state.last = self._last.clone()
        state.time += steps
        return self._codes[:steps]

    def _captured(self) -> Callable[[], None]:
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._advance()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._advance()
        replay: Callable[[], None] = graph.replay
        return replay

    def _advance(self) -> None:
        n, w = self._network, self._network.weights
        rows = w.firsts[:, None] + (
            self._time - w.backs & w.masks[:, None]
        )  # (L, K), the newest last
        told = self._told()
        x = n.distribution.embed(self._last, w.embedding)
        total = torch.zeros_like(self._rings[:, 0, :1])
        for layer in range(n.layers):
            self._rings.index_copy_(1, rows[layer, -1:], x[:, None])
            taps = self._rings.index_select(1, rows[layer]).flatten(1)
            h = torch.addmm(w.conv_bias[layer], taps, self._conv[layer])
            if told is not None:
                h = h + told[:, layer]
            filtered, gate = h.chunk(2, 1)
            out = torch.addmm(
                w.out_bias[layer], torch.tanh(filtered) * torch.sigmoid(gate), w.out[layer]
            )
            x, total = x + out[:, : n.r], total + out[:, n.r :]
        params = torch.addmm(
            w.output_bias, torch.addmm(w.hidden_bias, total.relu(), w.hidden).relu(), w.output
        )
        self.params.copy_(params)
        self._last.copy_(
            self._draw(params, self._noise.index_select(0, self._at)[0], self._sampling)
        )
        self._codes.index_copy_(0, self._at, self._last[None])
        for counter in (self._time, self._at, self._since):
            counter += 1

    def _told(self) -> Tensor | None:
        """(batch, L, 2G): between the two frames around this time."""
        n, hop = self._network, self.made_for[2]
        if not hop:
            return None
        frame = self._since // hop
        low, high = (self._frames.index_select(1, frame + i)[:, 0] for i in (0, 1))
        return torch.lerp(low, high, (self._since % hop).to(n.dtype) / hop)


# --- draws: params (batch, n_params), noise (batch, n_noise) -> codes (batch,); what each computes, `distributions` says --------------


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
    return _walk(p, noise)


def _walk(p: Tensor, noise: Tensor) -> Tensor:
    """The first whose weight, with all those before, passes the first number's share of the whole."""
    cumulative = p.cumsum(1)
    return (cumulative > noise[:, :1] * cumulative[:, -1:]).int().argmax(1)


def _logistic(params: Tensor, noise: Tensor, sampling: Sampling) -> Tensor:
    return _mixture(params, noise, sampling, torch.log(noise[:, 1] / (1 - noise[:, 1])))


def _gaussian(params: Tensor, noise: Tensor, sampling: Sampling) -> Tensor:
    return _mixture(
        params, noise, sampling, (-2 * noise[:, 1].log()).sqrt() * (2 * math.pi * noise[:, 2]).cos()
    )


def _mixture(params: Tensor, noise: Tensor, sampling: Sampling, standard: Tensor) -> Tensor:
    logits, means, log_scales = params.chunk(3, 1)
    scales = log_scales.clamp(max=LARGEST_LOG_SCALE).exp() + LEAST_SCALE
    if sampling.temperature == 0:
        chosen = (logits - scales.log()).argmax(1, keepdim=True)
    else:
        chosen = _walk(
            ((logits - logits.amax(1, keepdim=True)) / sampling.temperature).exp(), noise
        )[:, None]
    wav = (
        means.gather(1, chosen)[:, 0] * MEAN_UNIT
        + scales.gather(1, chosen)[:, 0] * sampling.temperature * standard
    )
    return (wav * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1).long() + FULL_SCALE


DRAWS: dict[str, Callable[[Tensor, Tensor, Sampling], Tensor]] = {
    "categorical": _categorical,
    "logistic": _logistic,
    "gaussian": _gaussian,
}
