"""The engine for NVIDIA GPUs: one program advances a stream over all samples of a call.

Every stream has a program of its own. `triton_kernels` holds the loop and says how memory is laid
out; `network` holds states between calls, and prefills them in one parallel pass.
"""

from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np
import torch
import triton
from torch import Tensor

from wavenet.config import ModelConfig
from wavenet.engines.gpu.network import DeviceEngine, DeviceState, Network, device_for, device_name
from wavenet.engines.gpu.triton_kernels import KINDS, advance
from wavenet.engines.options import EngineOptions
from wavenet.errors import EngineError, UnsupportedModelError
from wavenet.glossary import Array, Noise, Samples
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.distributions.base import Sampling, noise_columns

MIN_CHANNELS = 16
# Weights that a program multiplies at once: enough loads under way to hide how long each takes.
TILE = 1 << 14
# Weights of a layer's newest tap, which are multiplied at once whatever TILE is.
MAX_TAP_WEIGHTS = 1 << 15
MIN_CAPABILITY = (8, 0)  # Ampere
# The kernel's time and hop are 32-bit numbers. No ring is longer than this, so that the time may be
# taken modulo it.
_TIME_MODULUS = 1 << 30
# Steps of one launch at most.
_LAUNCH_STEPS = 1 << 20


def padded_channels(channels: int) -> int:
    """Channels filled up to a power of two."""
    return max(MIN_CHANNELS, 1 << (channels - 1).bit_length())


def interleaved(array: Array | Tensor) -> Tensor:
    """The filter's columns, then the gate's (..., 2G) -> one of each in turn."""
    a = torch.as_tensor(array)
    return a.reshape(*a.shape[:-1], 2, -1).transpose(-1, -2).flatten(-2)


def kernel_weights(network: Network, precision: str) -> tuple[Tensor, ...]:
    """A model's weights in the order and layout of the kernel's first parameters."""
    w, r = network.weights, network.r
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32

    def matrix(a: Tensor) -> Tensor:
        return a.to(dtype).contiguous()

    return (
        w.embedding,
        matrix(interleaved(w.conv)),
        interleaved(w.conv_bias).contiguous(),
        # residual, residual_bias
        matrix(w.out[:, :, :r]),
        w.out_bias[:, :r].contiguous(),
        # skip, skip_bias
        matrix(w.out[:, :, r:].flatten(0, 1)),
        w.out_bias[:, r:].sum(0),
        matrix(w.hidden),
        w.hidden_bias,
        matrix(w.output),
        w.output_bias,
        w.offsets.int(),
        w.ring_starts.int(),
        w.ring_masks.int(),
    )


def kernel_sizes(network: Network) -> dict[str, int]:
    """What the kernel is compiled for: a model's sizes."""
    distribution = network.distribution
    head_channels, params = network.weights.output.shape
    return {
        "KIND": KINDS[distribution.kind],
        "CONDITIONED": network.config.condition_channels > 0,
        "N_NOISE": distribution.n_noise,
        "N_PARAMS": distribution.n_params,
        "RING_ROWS": network.ring_rows,
        "L": network.layers,
        "T": network.taps,
        "R": network.r,
        "G": network.g,
        "S": network.s,
        "H": head_channels,
        "N": params,
        "TILE": TILE,
    }


def compile_options(network: Network) -> dict[str, int]:
    """How the kernel is compiled: with enough warps for a layer's newest tap to fit registers."""
    warps = 8 if network.r * 2 * network.g <= TILE else 16
    return {"num_warps": warps, "enable_fp_fusion": True}


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
        self._require_supported()
        self._network = Network(
            config,
            weights,
            self._device,
            torch.float32,
            precision=self.options.precision,
            width=padded_channels,
        )
        self.distribution = self._network.distribution
        if self.distribution.kind not in KINDS:
            raise UnsupportedModelError(
                f"the triton engine has no draw for a {self.distribution.kind} output; "
                "use --engine reference"
            )
        self._weights = kernel_weights(self._network, self.options.precision)
        self._sizes = kernel_sizes(self._network)
        self._compile_options = compile_options(self._network)

    def _require_supported(self) -> None:
        """Raises UnsupportedModelError unless the model fits the kernel, and the device runs it."""
        r, gate = self.config.residual_channels, self.config.gate_channels
        if padded_channels(r) * 2 * padded_channels(gate // 2) > MAX_TAP_WEIGHTS:
            raise UnsupportedModelError(
                f"--engine triton: model.residual_channels = {r} with model.gate_channels = {gate} "
                "is too wide for it; use cuda-graph"
            )
        if self._device.type != "cuda":
            return
        if torch.cuda.get_device_capability(self._device) < MIN_CAPABILITY:
            raise UnsupportedModelError(
                f"--engine triton: {device_name(self._device)} is older than Ampere; "
                "use --engine cuda-graph or numba"
            )
        try:
            # This builds a helper of Triton's own.
            triton.runtime.driver.active.get_current_device()
        except Exception as e:
            # Whatever a compiler, a linker or a missing header leads to.
            raise UnsupportedModelError(
                f"--engine triton: Triton cannot start ({e}); "
                "it needs a C compiler and Python's headers"
            ) from None

    def describe(self, batch: int) -> str:
        device = device_name(self._device)
        return f"triton engine ({device}, {self.options.precision}, a program for each stream)"

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
        self._network.check(state, batch, steps, conditioning)
        frames = None
        if conditioning is not None:
            frames = interleaved(self._network.frames(conditioning)).contiguous()
        blocks = [np.zeros((batch, 0), np.int64)]
        for i in range(0, steps, _LAUNCH_STEPS):
            block = noise[:, i : i + _LAUNCH_STEPS]
            blocks.append(self._launch(state, block, sampling, conditioning, frames))
        return np.concatenate(blocks, axis=1)

    def _launch(
        self,
        state: DeviceState,
        noise: Noise,
        sampling: Sampling,
        conditioning: Conditioning | None,
        frames: Tensor | None,
    ) -> Samples:
        """Advance the state by a step for each of the noise's: codes (batch, steps)."""
        batch, steps = noise.shape[:2]
        n_params, sizes = self.distribution.n_params, self._sizes
        channels = sizes["L"] * sizes["G"] + sizes["S"] + sizes["H"] + sizes["N"]
        scratch = torch.empty(batch, channels, device=self._device)
        codes = torch.empty(batch, steps, dtype=torch.int32, device=self._device)
        uniforms = torch.tensor(noise, dtype=torch.float32, device=self._device)
        # A label's only frame holds for ever.
        hop, frame_offset = _TIME_MODULUS, 0
        if conditioning is not None and conditioning.hop <= _TIME_MODULUS:
            hop, frame_offset = conditioning.hop, state.time - conditioning.start
        with torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext():
            advance[(batch,)](
                *self._weights,
                state.rings,
                scratch,
                state.last,
                codes,
                uniforms,
                # A model without conditioning reads no frames, but the kernel takes a pointer.
                scratch if frames is None else frames,
                state.time % _TIME_MODULUS,
                steps,
                0 if frames is None else frames.shape[1],
                frame_offset,
                hop,
                float(sampling.temperature),
                min(sampling.top_k or n_params, n_params),
                float(sampling.top_p),
                **sizes,
                **self._compile_options,
            )
        state.time += steps
        if not torch.isfinite(scratch[:, -sizes["N"] :]).all():
            raise EngineError(
                f"what the network predicts is not finite after {state.time} samples: "
                "its weights are too large"
            )
        x: Samples = codes.cpu().numpy().astype(np.int64)
        return x
