"""A network as tensors on one device, for the engines that run there: its weights, what streams remember, and given samples heard at once.

    rings    | layer 0: t-1  t | layer 1: t-3  t-2  t-1  t | layer 2: ...          row of time t: first + (t & mask)

Given samples take one parallel pass, which predicts each of them and leaves in the rings what a step for each would have left:

    x = embedding[the samples before]                                                            (time, R)
    for each layer:
        heard = what its ring remembers, then x                                                  (reach + time, R)
        h = bias + sum over taps of (heard, as many rows up as the tap hears back) @ conv[tap]   (time, 2G)
        h += what the conditions say at each time, between two frames
        z = tanh(first half of h) * sigmoid(second half)
        residual, skip = z @ out + bias
        x, total = x + residual, total + skip
    params = relu(relu(total) @ hidden + bias) @ output + bias

Streams take it one after the other, so that none depends on the batch it travels in.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavenet.arrays import Array, Params, Samples
from wavenet.config import ModelConfig
from wavenet.engines.conditioning import Conditioning, require_conditioning
from wavenet.engines.weights import PackedWeights, pack
from wavenet.errors import EngineError, UnsupportedModelError
from wavenet.model.distributions.registry import distribution_for

PASS_SAMPLES = (
    1 << 14
)  # that one parallel pass takes at most: its activations stay within some tens of megabytes


class Weights(NamedTuple):
    """As `PackedWeights`, but that every layer has as many taps as the one with most, and each tap says how far back it hears."""

    embedding: Tensor  # (n_inputs, R)
    conv: Tensor  # (L, K, R, 2G)
    conv_bias: Tensor  # (L, 2G)
    out: Tensor  # (L, G, R + S)
    out_bias: Tensor  # (L, R + S)
    hidden: Tensor  # (S, H)
    hidden_bias: Tensor  # (H,)
    output: Tensor  # (H, N)
    output_bias: Tensor  # (N,)
    backs: Tensor  # (L, K) int64, samples; the newest tap, 0, last
    firsts: Tensor  # (L,) int64: each ring's first row
    masks: Tensor  # (L,) int64: each ring's length, a power of two, less one


@dataclass
class DeviceState:
    """All streams' memory: rings (batch, rows, R), the time they share, and their last samples (batch,) int64."""

    rings: Tensor
    time: int
    last: Tensor


def device_for(engine: str) -> torch.device:
    """The current CUDA GPU; the CPU under TRITON_INTERPRET=1, Triton's own switch, for tests. Raises UnfitError where there is no GPU."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        return torch.device("cpu")
    if torch.version.cuda is None:
        raise UnsupportedModelError(
            f"--engine {engine}: this PyTorch ({torch.__version__}) is built without CUDA; install one with it, or use numba"
        )
    if not torch.cuda.is_available():
        raise UnsupportedModelError(
            f"--engine {engine}: PyTorch finds no NVIDIA GPU here; use --engine numba"
        )
    return torch.device("cuda", torch.cuda.current_device())


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, for tests"


def padded_conditioning(width: Callable[[int], int], frames: Array) -> Array:
    """Both halves of the last axis, 2G, filled up with zeros to the width that G takes."""
    halves = frames.reshape(*frames.shape[:-1], 2, -1)
    return _wide(halves, -1, width(halves.shape[-1])).reshape(*frames.shape[:-1], -1)


def laid_out(
    packed: PackedWeights, width: Callable[[int], int], precision: str
) -> dict[str, Array]:
    """The arrays of `Weights`. `width` says how many channels are kept for so many, the others zero; in bf16, matrices are rounded."""
    r, s = packed.residual_channels, packed.hidden.shape[0]
    most = max(
        map(len, packed.conv)
    )  # taps; layers with fewer get some that hear the present with no weight
    conv = np.stack([np.pad(taps, ((most - len(taps), 0), (0, 0), (0, 0))) for taps in packed.conv])
    backs = np.array(
        [[0] * (most - len(heard)) + list(heard) for heard in packed.offsets], np.int64
    )
    out, out_bias = (
        [_wide(a, -1, width(a.shape[-1])) for a in np.split(b, [r], axis=-1)]
        for b in (packed.out, packed.out_bias)
    )
    matrices = {
        "conv": padded_conditioning(width, _wide(conv, -2, width(r))),
        "out": _wide(np.concatenate(out, -1), -2, width(packed.out.shape[1])),
        "hidden": _wide(_wide(packed.hidden, 0, width(s)), 1, width(packed.hidden.shape[1])),
        "output": _wide(
            _wide(packed.output, 0, width(packed.output.shape[0])), 1, width(packed.output.shape[1])
        ),
    }
    if precision == "bf16":
        matrices = {
            name: torch.tensor(a).bfloat16().float().numpy() for name, a in matrices.items()
        }
    lengths = [
        1 << int(taps.max()).bit_length() for taps in backs
    ]  # the oldest tap and the present, and up to a power of two
    return matrices | {
        "embedding": _wide(packed.embedding, -1, width(r)),
        "conv_bias": padded_conditioning(width, packed.conv_bias),
        "out_bias": np.concatenate(out_bias, -1),
        "hidden_bias": _wide(packed.hidden_bias, -1, width(len(packed.hidden_bias))),
        "output_bias": _wide(packed.output_bias, -1, width(len(packed.output_bias))),
        "backs": backs,
        "firsts": np.cumsum([0, *lengths[:-1]], dtype=np.int64),
        "masks": np.array(lengths, np.int64) - 1,
    }


def _wide(array: Array, axis: int, size: int) -> Array:
    missing = [(0, 0)] * array.ndim
    missing[axis] = (0, size - array.shape[axis])
    return np.pad(array, missing)


class Network:
    """A model's weights on a device, in one kind of number, and what streams of it remember."""

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Array],
        device: torch.device,
        dtype: torch.dtype,
        *,
        precision: str = "fp32",
        width: Callable[[int], int] = int,
    ) -> None:
        self.config, self.device, self.dtype, self.width = config, device, dtype, width
        self.distribution = distribution_for(config)
        packed = pack(config, weights)
        if packed.pyramid is not None:
            raise UnsupportedModelError(
                f"model.context = {config.context}: the engines for GPUs have no path for it; use --engine numba"
            )
        arrays = laid_out(packed, width, precision)
        self.weights = Weights(
            **{
                k: torch.tensor(a, dtype=None if a.dtype == np.int64 else dtype, device=device)
                for k, a in arrays.items()
            }
        )
        self.layers, self.taps, self.r = self.weights.conv.shape[:3]
        self.g, self.s = self.weights.out.shape[1], self.weights.hidden.shape[0]
        self._plan = list(
            zip(
                arrays["backs"].tolist(),
                arrays["firsts"].tolist(),
                arrays["masks"].tolist(),
                strict=True,
            )
        )
        self.ring_rows = self._plan[-1][1] + self._plan[-1][2] + 1

    def check(self, memory: DeviceState, batch: int, steps: int, cond: Conditioning | None) -> None:
        """Raises EngineError unless so many streams can go on from this memory for so many steps."""
        if batch != len(memory.last):
            raise EngineError(f"{batch} streams do not go on from a state of {len(memory.last)}")
        require_conditioning(self.config, cond, batch, memory.time, steps)

    @torch.no_grad()
    def silent(self, batch: int, cond: Conditioning | None) -> DeviceState:
        """Streams that have heard endless silence: all taps of a layer hear the same."""
        require_conditioning(self.config, cond, batch, 0, 0)
        silence = torch.full((1,), self.distribution.silence, device=self.device)
        starts = [None] if cond is None else self.frames(cond)[:, 0]
        rings = torch.empty(
            len(starts), self.ring_rows, self.r, dtype=self.dtype, device=self.device
        )
        for ring, told in zip(rings, starts, strict=True):
            x = self.distribution.embed(silence, self.weights.embedding)
            for layer, (_, first, mask) in enumerate(self._plan):
                ring[first : first + mask + 1] = x
                x, _ = self._layer(layer, [x] * self.taps, None if told is None else told[layer])
        memory = DeviceState(rings, 0, silence.expand(len(rings)).clone())
        return memory if len(rings) == batch else self.select(memory, [0] * batch)

    def select(self, memory: DeviceState, streams: Sequence[int]) -> DeviceState:
        which = torch.tensor(streams, device=self.device)
        return DeviceState(memory.rings[which], memory.time, memory.last[which])

    def frames(self, cond: Conditioning) -> Tensor:
        """Conditions (batch, F, L, 2G)."""
        return torch.tensor(
            padded_conditioning(self.width, cond.frames), dtype=self.dtype, device=self.device
        )

    @torch.no_grad()
    def prefill(self, memory: DeviceState, x: Samples, cond: Conditioning | None) -> Params:
        """Hear given samples x (batch, time); params (batch, time, n_params)."""
        self.check(memory, len(x), x.shape[1], cond)
        if x.size and not 0 <= x.min() <= x.max() < self.distribution.levels:
            raise EngineError(
                f"samples {x.min()} to {x.max()}: must be codes from 0 to {self.distribution.levels - 1}"
            )
        params = np.empty((*x.shape, self.distribution.n_params), np.float32)
        codes = torch.tensor(x, dtype=torch.int64, device=self.device)
        frames = None if cond is None else self.frames(cond)
        for start in range(0, x.shape[1], PASS_SAMPLES):
            heard = codes[:, start : start + PASS_SAMPLES]
            for b in range(len(x)):
                told = (
                    None
                    if cond is None or frames is None
                    else self._told(cond, frames[b], memory.time, heard.shape[1])
                )
                found = self._pass(
                    memory.rings[b],
                    memory.time,
                    torch.cat([memory.last[b : b + 1], heard[b, :-1]]),
                    told,
                )
                params[b, start : start + heard.shape[1]] = (
                    found[:, : self.distribution.n_params].cpu().numpy()
                )
            memory.time += heard.shape[1]
            memory.last = heard[:, -1].clone()
        return params

    def _told(self, cond: Conditioning, frames: Tensor, time: int, steps: int) -> Tensor:
        """What one stream is told at each of the times: frames (F, L, 2G) -> (L, steps, 2G)."""
        since = [time - cond.first * cond.hop + i for i in range(steps)]
        low = torch.tensor([t // cond.hop for t in since], device=self.device)
        share = torch.tensor(
            [t % cond.hop / cond.hop for t in since], dtype=self.dtype, device=self.device
        )
        # one layer's frames lie next to each other: each is then taken apart and joined on its own
        by_layer = frames.transpose(0, 1)
        return torch.lerp(by_layer[:, low], by_layer[:, low + 1], share[:, None])

    def _pass(self, rings: Tensor, time: int, before: Tensor, told: Tensor | None) -> Tensor:
        """The parallel pass of one stream over the samples that follow each of `before` (time,): params (time, N). rings: (rows, R)."""
        w, steps = self.weights, len(before)
        x = self.distribution.embed(before, w.embedding)
        total = torch.zeros(steps, self.s, dtype=self.dtype, device=self.device)
        for layer, (backs, first, mask) in enumerate(self._plan):
            reach = max(backs)
            heard = torch.cat([rings[self._rows(time - reach, reach, first, mask)], x])
            kept = min(steps, mask + 1)
            rings[self._rows(time + steps - kept, kept, first, mask)] = x[steps - kept :]
            taps = [heard[reach - back : reach - back + steps] for back in backs]
            x, skip = self._layer(layer, taps, None if told is None else told[layer])
            total += skip
        return torch.addmm(
            w.output_bias, torch.addmm(w.hidden_bias, total.relu(), w.hidden).relu(), w.output
        )

    def _rows(self, time: int, count: int, first: int, mask: int) -> Tensor:
        """A ring's rows of so many times from `time` on."""
        return first + (torch.arange(time, time + count, device=self.device) & mask)

    def _layer(self, layer: int, taps: list[Tensor], told: Tensor | None) -> tuple[Tensor, Tensor]:
        """One gated layer on its taps (rows, R), oldest first: what the next layer hears, and the skip path."""
        w = self.weights
        h = torch.addmm(w.conv_bias[layer], torch.cat(taps, 1), w.conv[layer].flatten(0, 1))
        if told is not None:
            h = h + told
        filtered, gate = h.chunk(2, 1)
        out = torch.addmm(
            w.out_bias[layer], torch.tanh(filtered) * torch.sigmoid(gate), w.out[layer]
        )
        return taps[-1] + out[:, : self.r], out[:, self.r :]


class DeviceEngine:
    """What an engine does as its network does it."""

    _network: Network

    def init_state(self, batch: int, cond: Conditioning | None = None) -> DeviceState:
        return self._network.silent(batch, cond)

    def select(self, state: DeviceState, streams: Sequence[int]) -> DeviceState:
        return self._network.select(state, streams)

    def prefill(self, state: DeviceState, x: Samples, cond: Conditioning | None = None) -> Params:
        return self._network.prefill(state, x, cond)
