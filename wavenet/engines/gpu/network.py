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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavenet.config import ModelConfig
from wavenet.engines.conditioning import require_conditioning
from wavenet.engines.weights import PackedWeights, pack
from wavenet.errors import EngineError, UnsupportedModelError
from wavenet.glossary import Array, Params, Samples
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.distributions.registry import distribution_for

# Samples of one parallel pass at most, which keeps its activations within some tens of megabytes.
PREFILL_SAMPLES = 1 << 14

# How many channels an engine keeps for a number of channels; those that are added are zero.
Width = Callable[[int], int]


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
class DeviceState:
    """The state of all streams, which are at the same time."""

    rings: Tensor  # (batch, rows, R)
    time: int
    last: Tensor  # (batch,) int64: codes of the last samples


def device_for(engine: str) -> torch.device:
    """The current CUDA GPU; raises UnsupportedModelError where there is none.

    Under TRITON_INTERPRET=1, which is Triton's own switch for tests, it is the CPU.
    """
    if os.environ.get("TRITON_INTERPRET") == "1":
        return torch.device("cpu")
    if torch.version.cuda is None:
        raise UnsupportedModelError(
            f"--engine {engine}: this PyTorch ({torch.__version__}) is built without CUDA; "
            "install one with it, or use numba"
        )
    if not torch.cuda.is_available():
        raise UnsupportedModelError(
            f"--engine {engine}: PyTorch finds no NVIDIA GPU here; use --engine numba"
        )
    return torch.device("cuda", torch.cuda.current_device())


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, for tests"


def device_arrays(packed: PackedWeights, width: Width, precision: str) -> dict[str, Array]:
    """The arrays of `Weights`, in NumPy. In bf16 the matrices are rounded, the rest is not."""
    taps = max(map(len, packed.conv))
    conv, offsets = [], []
    for layer_taps, layer_offsets in zip(packed.conv, packed.offsets, strict=True):
        missing = taps - len(layer_taps)
        conv.append(np.pad(layer_taps, ((missing, 0), (0, 0), (0, 0))))
        # A tap without weight reads the present.
        offsets.append([0] * missing + list(layer_offsets))
    matrices = {
        "conv": _widened(_widened_halves(np.stack(conv), width), width, -2),
        "out": _widened(_widened_paths(packed, packed.out, width), width, -2),
        "hidden": _widened(packed.hidden, width, 0, 1),
        "output": _widened(packed.output, width, 0, 1),
    }
    if precision == "bf16":
        matrices = {name: _rounded(matrix) for name, matrix in matrices.items()}
    # From the oldest tap to the present, and up to a power of two.
    lengths = [1 << max(layer_offsets).bit_length() for layer_offsets in offsets]
    return matrices | {
        "embedding": _widened(packed.embedding, width, -1),
        "conv_bias": _widened_halves(packed.conv_bias, width),
        "out_bias": _widened_paths(packed, packed.out_bias, width),
        "hidden_bias": _widened(packed.hidden_bias, width, -1),
        "output_bias": _widened(packed.output_bias, width, -1),
        "offsets": np.array(offsets, np.int64),
        "ring_starts": np.cumsum([0, *lengths[:-1]], dtype=np.int64),
        "ring_masks": np.array(lengths, np.int64) - 1,
    }


def _widened(array: Array, width: Width, *axes: int) -> Array:
    """The array with as many channels along `axes` as `width` asks for."""
    missing = [(0, 0)] * array.ndim
    for axis in axes:
        channels = array.shape[axis]
        missing[axis] = (0, width(channels) - channels)
    return np.pad(array, missing)


def _widened_halves(array: Array, width: Width) -> Array:
    """The same along the last axis, 2G, where each half of the gate becomes as wide as G asks."""
    halves = array.reshape(*array.shape[:-1], 2, -1)
    return _widened(halves, width, -1).reshape(*array.shape[:-1], -1)


def _widened_paths(packed: PackedWeights, array: Array, width: Width) -> Array:
    """The same along the last axis, R + S, of which each part becomes as wide as it asks."""
    paths = np.split(array, [packed.residual_channels], axis=-1)
    return np.concatenate([_widened(path, width, -1) for path in paths], axis=-1)


def _rounded(matrix: Array) -> Array:
    rounded: Array = torch.tensor(matrix).bfloat16().float().numpy()
    return rounded


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
            raise UnsupportedModelError(
                f"model.context = {config.context}: the engines for GPUs have no path for it; "
                "use --engine numba"
            )
        arrays = device_arrays(packed, width, precision)
        self.weights = Weights(**{name: self._tensor(array) for name, array in arrays.items()})
        self.layers, self.taps, self.r = self.weights.conv.shape[:3]
        self.g, self.s = self.weights.out.shape[1], self.weights.hidden.shape[0]
        columns = (arrays[name].tolist() for name in ("offsets", "ring_starts", "ring_masks"))
        self._rings = [Ring(*row) for row in zip(*columns, strict=True)]
        last = self._rings[-1]
        self.ring_rows = last.start + last.mask + 1

    def _tensor(self, array: Array) -> Tensor:
        dtype = None if array.dtype == np.int64 else self.dtype
        return torch.tensor(array, dtype=dtype, device=self.device)

    def check(
        self, state: DeviceState, batch: int, steps: int, conditioning: Conditioning | None
    ) -> None:
        """Raises EngineError unless `batch` streams can go on from the state for `steps` steps."""
        if batch != len(state.last):
            raise EngineError(f"{batch} streams do not go on from a state of {len(state.last)}")
        require_conditioning(self.config, conditioning, batch, state.time, steps)

    @torch.no_grad()
    def after_silence(self, batch: int, conditioning: Conditioning | None) -> DeviceState:
        """Streams that have read endless silence: all taps of a layer read the same."""
        require_conditioning(self.config, conditioning, batch, 0, 0)
        silence = torch.full((1,), self.distribution.silence, device=self.device)
        first_frames = [None] if conditioning is None else self.frames(conditioning)[:, 0]
        rings = torch.empty(
            len(first_frames), self.ring_rows, self.r, dtype=self.dtype, device=self.device
        )
        for stream_rings, frame in zip(rings, first_frames, strict=True):
            x = self.distribution.embed(silence, self.weights.embedding)  # (1, R)
            for layer, ring in enumerate(self._rings):
                stream_rings[ring.start : ring.start + ring.mask + 1] = x
                conditioning_at = None if frame is None else frame[layer]
                x, _ = self._layer(layer, [x] * self.taps, conditioning_at)
        state = DeviceState(rings, 0, silence.expand(len(rings)).clone())
        return state if len(rings) == batch else self.select(state, [0] * batch)

    def select(self, state: DeviceState, streams: Sequence[int]) -> DeviceState:
        indices = torch.tensor(streams, device=self.device)
        return DeviceState(state.rings[indices], state.time, state.last[indices])

    def frames(self, conditioning: Conditioning) -> Tensor:
        """The frames on the device, as wide as the weights: (batch, F, L, 2G)."""
        frames = _widened_halves(conditioning.frames, self.width)
        return torch.tensor(frames, dtype=self.dtype, device=self.device)

    @torch.no_grad()
    def prefill(self, state: DeviceState, x: Samples, conditioning: Conditioning | None) -> Params:
        """Advance the state by x (batch, time) -> params (batch, time, n_params)."""
        self.check(state, len(x), x.shape[1], conditioning)
        if x.size and not 0 <= x.min() <= x.max() < self.distribution.levels:
            raise EngineError(
                f"samples {x.min()} to {x.max()}: must be codes from 0 to "
                f"{self.distribution.levels - 1}"
            )
        n_params = self.distribution.n_params
        params = np.empty((*x.shape, n_params), np.float32)
        codes = torch.tensor(x, dtype=torch.int64, device=self.device)
        frames = None if conditioning is None else self.frames(conditioning)
        for start in range(0, x.shape[1], PREFILL_SAMPLES):
            block = codes[:, start : start + PREFILL_SAMPLES]
            steps = block.shape[1]
            for b in range(len(x)):
                previous = torch.cat([state.last[b : b + 1], block[b, :-1]])
                conditioning_at = None
                if conditioning is not None and frames is not None:
                    offset = state.time - conditioning.start
                    conditioning_at = self._interpolated(frames[b], offset, conditioning.hop, steps)
                predicted = self._parallel_pass(
                    state.rings[b], state.time, previous, conditioning_at
                )
                params[b, start : start + steps] = predicted[:, :n_params].cpu().numpy()
            state.time += steps
            state.last = block[:, -1].clone()
        return params

    def _interpolated(self, frames: Tensor, offset: int, hop: int, steps: int) -> Tensor:
        """One stream's conditioning at each step: frames (F, L, 2G) -> (L, steps, 2G).

        The first step lies `offset` samples after the first frame.
        """
        offsets = range(offset, offset + steps)
        low = torch.tensor([t // hop for t in offsets], device=self.device)
        interp_weights = [t % hop / hop for t in offsets]
        after = torch.tensor(interp_weights, dtype=self.dtype, device=self.device)
        # Each layer's result lies in one piece.
        by_layer = frames.transpose(0, 1)
        return torch.lerp(by_layer[:, low], by_layer[:, low + 1], after[:, None])

    def _parallel_pass(
        self, rings: Tensor, time: int, previous: Tensor, conditioning_at: Tensor | None
    ) -> Tensor:
        """Predict the samples that follow each of `previous` (time,) in one stream.

        rings (rows, R), conditioning_at (L, time, 2G) -> params (time, N).
        """
        w, steps = self.weights, len(previous)
        x = self.distribution.embed(previous, w.embedding)  # (time, R)
        total = torch.zeros(steps, self.s, dtype=self.dtype, device=self.device)
        for layer, ring in enumerate(self._rings):
            lag = max(ring.offsets)
            past = rings[ring.rows(time - lag, lag, self.device)]
            inputs = torch.cat([past, x])  # (lag + time, R)
            kept = min(steps, ring.mask + 1)
            rings[ring.rows(time + steps - kept, kept, self.device)] = x[steps - kept :]
            taps = [inputs[lag - offset : lag - offset + steps] for offset in ring.offsets]
            x, skip = self._layer(
                layer, taps, None if conditioning_at is None else conditioning_at[layer]
            )
            total += skip
        hidden = torch.addmm(w.hidden_bias, total.relu(), w.hidden).relu()  # (time, H)
        return torch.addmm(w.output_bias, hidden, w.output)

    def _layer(
        self, layer: int, taps: list[Tensor], conditioning_at: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """One gated layer on what its taps read, oldest first: (time, R) each.

        Returns the next layer's input (time, R) and the skip path (time, S).
        """
        w = self.weights
        conv = w.conv[layer].flatten(0, 1)  # (T R, 2G)
        h = torch.addmm(w.conv_bias[layer], torch.cat(taps, 1), conv)
        if conditioning_at is not None:
            h = h + conditioning_at
        filtered, gate = h.chunk(2, 1)
        z = torch.tanh(filtered) * torch.sigmoid(gate)  # (time, G)
        out = torch.addmm(w.out_bias[layer], z, w.out[layer])  # (time, R + S)
        return taps[-1] + out[:, : self.r], out[:, self.r :]


class DeviceEngine:
    """What an engine leaves to its network."""

    _network: Network

    def init_state(self, batch: int, conditioning: Conditioning | None = None) -> DeviceState:
        return self._network.after_silence(batch, conditioning)

    def select(self, state: DeviceState, streams: Sequence[int]) -> DeviceState:
        return self._network.select(state, streams)

    def prefill(
        self, state: DeviceState, x: Samples, conditioning: Conditioning | None = None
    ) -> Params:
        return self._network.prefill(state, x, conditioning)
