"""A network on one device, for the engines that run there: its weights, states, and the prefill.

A state holds every layer's past inputs, up to those that its oldest tap reads:

    rings    | layer 0: t-1  t | layer 1: t-3  t-2  t-1  t | layer 2: ...
             the row of time t is start + (t & mask)

The prefill takes given samples in one parallel pass. It predicts each of them and leaves in the
rings what a step for each would have left there:

    x = embedding[previous samples]                                              (time, R)
    for each layer:
        inputs = past inputs from the ring, then x                               (lag + time, R)
        h = bias + sum over taps of (inputs of `offset` rows before) @ conv[tap] (time, 2G)
        h += conditioning of each step, on straight lines between frames
        z = tanh(first half of h) * sigmoid(second half)
        residual, skip = z @ out + bias
        x, total = x + residual, total + skip
    params = relu(relu(total) @ hidden + bias) @ output + bias

Streams are prefilled one after the other, so that none depends on the batch that it is part of.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavenet.config import ModelConfig
from wavenet.engines.engine import Engine
from wavenet.engines.kinds import require_known
from wavenet.engines.options import EngineOptions
from wavenet.engines.weights import PackedWeights, Width, pack, widened, widened_halves
from wavenet.errors import UnsupportedModelError
from wavenet.glossary import Array, Params, Samples
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.distributions.registry import distribution_for

# Samples of one parallel pass at most, which keeps its activations within some tens of megabytes.
PREFILL_SAMPLES = 1 << 14


class Weights(NamedTuple):
    """As `PackedWeights`, but all layers have T taps, as many as the one with most of them.

    A layer with fewer has further taps, without weight, in front.
    """

    embedding: Tensor  # (n_inputs, R)
    conv: Tensor  # (L, T, R, 2G)
    conv_bias: Tensor  # (L, 2G)
    out: Tensor  # (L, G, R + S)
    out_bias: Tensor  # (L, R + S)
    hidden: Tensor  # (S, H)
    hidden_bias: Tensor  # (H,)
    output: Tensor  # (H, N)
    output_bias: Tensor  # (N,)
    offsets: Tensor  # (L, T) int64, samples; the newest, 0, last
    ring_starts: Tensor  # (L,) int64: each ring's first row
    ring_masks: Tensor  # (L,) int64: length, a power of two, less one


class Ring(NamedTuple):
    """Where one layer's past inputs lie, and how many samples back its taps read them."""

    offsets: list[int]
    start: int
    mask: int

    def rows(self, time: int, count: int, device: torch.device) -> Tensor:
        """The rows of `count` samples from `time` on."""
        return self.start + (torch.arange(time, time + count, device=device) & self.mask)


@dataclass
class State:
    """The state of all streams. Their times are on the host."""

    rings: Tensor  # (batch, rows, R)
    times: Array  # (batch,) int64
    last: Tensor  # (batch,) int64: codes of the last samples


def device_for(engine: str) -> torch.device:
    """The current CUDA GPU; raises UnsupportedModelError where there is none.

    Under TRITON_INTERPRET=1, which is Triton's own switch for tests, it is the CPU.
    """
    if os.environ.get("TRITON_INTERPRET") == "1":
        return torch.device("cpu")
    if torch.version.cuda is None:
        reason = f"this PyTorch ({torch.__version__}) is built without CUDA"
        advice = "install one with it, or use numba"
        raise UnsupportedModelError(f"`engine` {engine}", reason, advice)
    if not torch.cuda.is_available():
        reason, advice = "PyTorch finds no NVIDIA GPU here", "use `engine` numba"
        raise UnsupportedModelError(f"`engine` {engine}", reason, advice)
    return torch.device("cuda", torch.cuda.current_device())


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, for tests"


def device_arrays(packed: PackedWeights, width: Width, precision: str) -> dict[str, Array]:
    """The arrays of `Weights`, in NumPy. In bf16 the matrices are rounded, the rest is not."""
    taps = max(map(len, packed.conv))
    # A tap without weight reads the present.
    offsets = [(0,) * (taps - len(layer)) + layer for layer in packed.offsets]
    conv = [np.pad(layer, ((taps - len(layer), 0), (0, 0), (0, 0))) for layer in packed.conv]
    # From the oldest tap to the present, and up to a power of two.
    lengths = [1 << max(layer).bit_length() for layer in offsets]

    def paths(array: Array) -> Array:
        """The columns of the residual path and those of the skip path, each widened."""
        both = np.split(array, [packed.residual_channels], axis=-1)
        return np.concatenate([widened(path, width) for path in both], axis=-1)

    matrices = {
        "conv": widened(widened_halves(np.stack(conv), width), width, -2),
        "out": widened(paths(packed.out), width, -2),
        "hidden": widened(packed.hidden, width, -2, -1),
        "output": widened(packed.output, width, -2, -1),
    }
    if precision == "bf16":
        matrices = {k: torch.tensor(m).bfloat16().float().numpy() for k, m in matrices.items()}
    return matrices | {
        "embedding": widened(packed.embedding, width),
        "conv_bias": widened_halves(packed.conv_bias, width),
        "out_bias": paths(packed.out_bias),
        "hidden_bias": widened(packed.hidden_bias, width),
        "output_bias": widened(packed.output_bias, width),
        "offsets": np.array(offsets),
        "ring_starts": np.cumsum([0, *lengths[:-1]]),
        "ring_masks": np.array(lengths) - 1,
    }


class Network:
    """A model's weights on a device, in one kind of number, and what its streams' states hold."""

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Array],
        device: torch.device,
        dtype: torch.dtype,
        *,
        precision: str = "fp32",
        width: Width = int,
    ) -> None:
        self.config, self.device, self.dtype, self.width = config, device, dtype, width
        self.distribution = distribution_for(config)
        packed = pack(config, weights)
        if packed.pyramid is not None:
            reason = "the engines for GPUs have no path for it"
            subject = f"model.context = {config.context}"
            raise UnsupportedModelError(subject, reason, "use `engine` numba")
        arrays = device_arrays(packed, width, precision)
        self.weights = Weights(**{name: self._tensor(array) for name, array in arrays.items()})
        self.layers, self.taps, self.r = self.weights.conv.shape[:3]
        self.g, self.s = self.weights.out.shape[1], self.weights.hidden.shape[0]
        columns = (arrays[name].tolist() for name in ("offsets", "ring_starts", "ring_masks"))
        self.rings = [Ring(*row) for row in zip(*columns, strict=True)]
        self.ring_rows = self.rings[-1].start + self.rings[-1].mask + 1

    def _tensor(self, array: Array) -> Tensor:
        dtype = None if array.dtype == np.int64 else self.dtype
        return torch.tensor(array, dtype=dtype, device=self.device)

    def frames(self, frames: Array) -> Tensor:
        """Frames (..., L, 2G) on the device, as wide as the weights."""
        return self._tensor(widened_halves(frames, self.width))

    def conditioning(self, conditioning: Conditioning | None) -> Conditioning | None:
        """The same with its frames on the device."""
        return conditioning and conditioning._replace(frames=self.frames(conditioning.frames))

    def layer(
        self, layer: int, x: Tensor, taps: Tensor, conditioning: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """One gated layer on its present input x (rows, R) and what its taps read, oldest first.

        taps (rows, T R), conditioning (rows, 2G) -> the next layer's input (rows, R) and the skip
        path (rows, S).
        """
        w = self.weights
        h = torch.addmm(w.conv_bias[layer], taps, w.conv[layer].flatten(0, 1))
        if conditioning is not None:
            h = h + conditioning
        filtered, gate = h.chunk(2, 1)
        z = torch.tanh(filtered) * torch.sigmoid(gate)  # (rows, G)
        out = torch.addmm(w.out_bias[layer], z, w.out[layer])  # (rows, R + S)
        return x + out[:, : self.r], out[:, self.r :]

    def head(self, total: Tensor) -> Tensor:
        """The sum of the skip paths (rows, S) -> params (rows, N)."""
        w = self.weights
        hidden = torch.addmm(w.hidden_bias, total.relu(), w.hidden).relu()  # (rows, H)
        return torch.addmm(w.output_bias, hidden, w.output)


class DeviceEngine(Engine):
    """What both engines have in common: their states, and the prefill."""

    def __init__(self, network: Network, options: EngineOptions) -> None:
        super().__init__(network.config, options)
        require_known(self.distribution, self.name)
        self._network = network

    @torch.no_grad()
    def _after_silence(self, frames: Array) -> State:
        """All taps of a layer read the same."""
        n, d = self._network, self.distribution
        silence = torch.full((len(frames),), d.silence, device=n.device)
        rings = torch.empty(len(frames), n.ring_rows, n.r, dtype=n.dtype, device=n.device)
        for stream, conditioning in enumerate(n.frames(frames)):
            x = d.embed(silence[:1], n.weights.embedding)  # (1, R)
            for layer, ring in enumerate(n.rings):
                rings[stream, ring.start : ring.start + ring.mask + 1] = x
                x, _ = n.layer(layer, x, x.repeat(1, n.taps), conditioning[layer])
        return State(rings, np.zeros(len(frames), np.int64), silence)

    def _select(self, state: State, streams: Sequence[int]) -> State:
        indices = torch.tensor(streams, device=self._network.device)
        return State(state.rings[indices], state.times[list(streams)], state.last[indices])

    def _merge(self, states: Sequence[State]) -> State:
        return State(
            torch.cat([state.rings for state in states]),
            np.concatenate([state.times for state in states]),
            torch.cat([state.last for state in states]),
        )

    @torch.no_grad()
    def _prefill(self, state: State, x: Samples, conditioning: Conditioning | None) -> Params:
        params = np.empty((*x.shape, self.distribution.n_params), np.float32)
        codes = torch.tensor(x, dtype=torch.int64, device=self._network.device)
        conditioning = self._network.conditioning(conditioning)
        for start in range(0, x.shape[1], PREFILL_SAMPLES):
            block = codes[:, start : start + PREFILL_SAMPLES]
            steps = block.shape[1]
            for b in range(len(x)):
                previous = torch.cat([state.last[b : b + 1], block[b, :-1]])
                time = int(state.times[b])
                interpolated = _interpolated(conditioning, b, time, steps)
                predicted = self._parallel_pass(state.rings[b], time, previous, interpolated)
                predicted = predicted[:, : self.distribution.n_params]
                params[b, start : start + steps] = predicted.cpu().numpy()
            state.times += steps
            state.last = block[:, -1].clone()
        return params

    def _parallel_pass(
        self, rings: Tensor, time: int, previous: Tensor, conditioning: Tensor | None
    ) -> Tensor:
        """Predict the samples that follow each of `previous` (time,) in one stream.

        rings (rows, R), conditioning (L, time, 2G) -> params (time, N).
        """
        n, steps = self._network, len(previous)
        x = self.distribution.embed(previous, n.weights.embedding)  # (time, R)
        total = torch.zeros(steps, n.s, dtype=n.dtype, device=n.device)
        for layer, ring in enumerate(n.rings):
            lag = max(ring.offsets)
            inputs = torch.cat([rings[ring.rows(time - lag, lag, n.device)], x])  # (lag + time, R)
            kept = min(steps, ring.mask + 1)
            rings[ring.rows(time + steps - kept, kept, n.device)] = x[steps - kept :]
            taps = [inputs[lag - offset : lag - offset + steps] for offset in ring.offsets]
            conditioning_at = None if conditioning is None else conditioning[layer]
            x, skip = n.layer(layer, x, torch.cat(taps, 1), conditioning_at)
            total += skip
        return n.head(total)


def _interpolated(
    conditioning: Conditioning | None, stream: int, time: int, steps: int
) -> Tensor | None:
    """One stream's conditioning at each of the steps from `time` on: (L, steps, 2G)."""
    if conditioning is None:
        return None
    frames = conditioning.frames[stream].transpose(0, 1)  # (L, F, 2G)
    start = int(np.broadcast_to(conditioning.start, len(conditioning.frames))[stream])
    offsets = np.arange(steps) + (time - start)
    low, rest = np.divmod(offsets, conditioning.hop)
    frame = torch.tensor(low, device=frames.device)
    weight = torch.tensor(rest / conditioning.hop, dtype=frames.dtype, device=frames.device)
    # Each layer's result lies in one piece.
    return torch.lerp(frames[:, frame], frames[:, frame + 1], weight[:, None])
