"""The engine for NVIDIA GPUs: one program runs a stream from sample to sample without coming back, and every stream has its own.

`triton_kernels` holds the loop and says how memory is laid out; `tensors` what streams remember between calls, and the parallel pass that
hears prompts.
"""

from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np
import torch
import triton
from torch import Tensor

from wavenet.arrays import Array, Noise, Samples
from wavenet.config import ModelConfig
from wavenet.engines.conditioning import Conditioning
from wavenet.engines.gpu.network import DeviceEngine, DeviceState, Network, device_for, device_name
from wavenet.engines.gpu.triton_kernels import KINDS, advance
from wavenet.engines.options import EngineOptions
from wavenet.errors import EngineError, UnsupportedModelError
from wavenet.model.distributions.base import Sampling, noise_columns

LEAST_WIDTH = 16  # channels
TILE = (
    1 << 14
)  # weights that a program multiplies at once: enough loads under way to hide what each takes
LARGEST = 1 << 15  # weights of a layer's newest tap, which are multiplied at once whatever TILE is
LEAST_CAPABILITY = (8, 0)  # Ampere
_TIMES = 1 << 30  # the kernel's time is taken modulo this
_STEPS = 1 << 20  # at most, of one launch


def wide(channels: int) -> int:
    """Channels filled up to a power of two."""
    return max(LEAST_WIDTH, 1 << (channels - 1).bit_length())


def by_turns(array: Array | Tensor) -> Tensor:
    """Columns of the filter, then those of the gate (..., 2G) -> one of each by turns."""
    a = torch.as_tensor(array)
    return a.reshape(*a.shape[:-1], 2, -1).transpose(-1, -2).flatten(-2)


def kernel_weights(network: Network, precision: str) -> tuple[Tensor, ...]:
    """A model's weights in the order and layout that the kernel takes them."""
    w, r = network.weights, network.r

    def matrix(a: Tensor) -> Tensor:
        return a.to(torch.bfloat16 if precision == "bf16" else torch.float32).contiguous()

    return (
        w.embedding, matrix(by_turns(w.conv)), by_turns(w.conv_bias).contiguous(),
        matrix(w.out[:, :, :r]), w.out_bias[:, :r].contiguous(),
        matrix(w.out[:, :, r:].flatten(0, 1)), w.out_bias[:, r:].sum(0),
        matrix(w.hidden), w.hidden_bias, matrix(w.output), w.output_bias,
        w.backs.int(), w.firsts.int(), w.masks.int(),
    )  # fmt: skip


def kernel_sizes(network: Network) -> dict[str, int]:
    """What the kernel is compiled for: a model's sizes."""
    w, d = network.weights, network.distribution
    h, n = w.output.shape
    return {
        "KIND": KINDS[d.kind], "CONDITIONED": network.config.condition_channels > 0, "N_NOISE": d.n_noise, "COUNT": d.n_params,
        "ROWS_OF_RINGS": network.ring_rows, "L": network.layers, "K": network.taps, "R": network.r, "G": network.g,
        "S": network.s, "H": h, "N": n, "TILE": TILE,
    }  # fmt: skip


def compile_options(network: Network) -> dict[str, int]:
    """How the kernel is compiled: with so many warps that a layer's newest tap fits their registers."""
    return {"num_warps": 8 if network.r * 2 * network.g <= TILE else 16, "enable_fp_fusion": True}


class TritonEngine(DeviceEngine):
    name = "triton"

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Array],
        options: EngineOptions | None = None,
    ) -> None:
        self.config, self.options = config, options or EngineOptions()
        self._device = device_for(self.name)
        self._refuse_unfit()
        self._network = Network(
            config,
            weights,
            self._device,
            torch.float32,
            precision=self.options.precision,
            width=wide,
        )
        self.distribution = self._network.distribution
        if self.distribution.kind not in KINDS:
            raise UnsupportedModelError(
                f"the triton engine has no draw for a {self.distribution.kind} output; use --engine reference"
            )
        self._weights = kernel_weights(self._network, self.options.precision)
        self._sizes, self._compile = kernel_sizes(self._network), compile_options(self._network)

    def _refuse_unfit(self) -> None:
        r, gate = self.config.residual_channels, self.config.gate_channels
        if wide(r) * 2 * wide(gate // 2) > LARGEST:
            raise UnsupportedModelError(
                f"--engine triton: model.residual_channels = {r} with model.gate_channels = {gate} is too wide for it; use cuda-graph"
            )
        if (
            self._device.type == "cuda"
            and torch.cuda.get_device_capability(self._device) < LEAST_CAPABILITY
        ):
            raise UnsupportedModelError(
                f"--engine triton: {device_name(self._device)} is older than Ampere; use --engine cuda-graph or numba"
            )
        if self._device.type == "cuda":
            try:
                triton.runtime.driver.active.get_current_device()  # builds a helper of Triton's own
            except Exception as e:  # whatever a compiler, a linker or a missing header leads to
                raise UnsupportedModelError(
                    f"--engine triton: Triton cannot start ({e}); it needs a C compiler and Python's headers"
                ) from None

    def describe(self, batch: int) -> str:
        return f"triton engine ({device_name(self._device)}, {self.options.precision}, a program for each stream)"

    def generate(
        self, state: DeviceState, noise: Noise, sampling: Sampling, cond: Conditioning | None = None
    ) -> Samples:
        self.distribution.check(sampling)
        noise = noise_columns(noise, self.distribution.n_noise)
        batch, steps = noise.shape[:2]
        self._network.check(state, batch, steps, cond)
        frames = None if cond is None else by_turns(self._network.frames(cond)).contiguous()
        parts = [
            self._launch(state, noise[:, i : i + _STEPS], sampling, cond, frames)
            for i in range(0, steps, _STEPS)
        ]
        return np.concatenate([np.zeros((batch, 0), np.int64), *parts], axis=1)

    def _launch(
        self,
        state: DeviceState,
        noise: Noise,
        sampling: Sampling,
        cond: Conditioning | None,
        frames: Tensor | None,
    ) -> Samples:
        batch, steps = noise.shape[:2]
        n, sizes = self.distribution.n_params, self._sizes
        scratch = torch.empty(
            batch,
            sizes["L"] * sizes["G"] + sizes["S"] + sizes["H"] + sizes["N"],
            device=self._device,
        )
        x = torch.empty(batch, steps, dtype=torch.int32, device=self._device)
        given = torch.tensor(noise, dtype=torch.float32, device=self._device)
        # a label's only frame holds for ever
        hop, since = (
            (_TIMES, 0)
            if cond is None or cond.hop > _TIMES
            else (cond.hop, state.time - cond.first * cond.hop)
        )
        with torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext():
            advance[(batch,)](
                *self._weights, state.rings, scratch, state.last, x, given, scratch if frames is None else frames,
                state.time % _TIMES, steps, 0 if frames is None else frames.shape[1], since, hop,
                float(sampling.temperature), min(sampling.top_k or n, n), float(sampling.top_p), **sizes, **self._compile,
            )  # fmt: skip
        state.time += steps
        if not torch.isfinite(scratch[:, -sizes["N"] :]).all():
            raise EngineError(
                f"what the network predicts is not finite after {state.time} samples: its weights are too large"
            )
        found: Samples = x.cpu().numpy().astype(np.int64)
        return found
