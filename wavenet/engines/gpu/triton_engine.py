"""The engine for NVIDIA GPUs: one program advances a stream over all samples of a call.

Every stream has a program of its own. `triton_kernels` holds the loop and says how memory is laid
out; `network` holds states between calls, and prefills them in one parallel pass.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import triton
from torch import Tensor

from wavenet.config import ModelConfig
from wavenet.engines.engine import overflow
from wavenet.engines.gpu.compilation import reporting
from wavenet.engines.gpu.network import DeviceEngine, Network, State, device_for, device_name
from wavenet.engines.gpu.triton_kernels import advance
from wavenet.engines.kinds import KINDS
from wavenet.engines.options import DEFAULTS, EngineOptions
from wavenet.errors import UnsupportedModelError
from wavenet.glossary import Array, Noise, Samples
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.distributions.base import Sampling

MIN_CHANNELS = 16
# Weights that a program multiplies at once: enough loads under way to hide how long each takes.
TILE = 1 << 14
# Weights of a layer's newest tap, which are multiplied at once whatever TILE is.
MAX_TAP_WEIGHTS = 1 << 15
MIN_CAPABILITY = (8, 0)  # Ampere
# The kernel's time and hop are 32-bit numbers. No ring is longer than this, so that the time may be
# taken modulo it.
TIME_MODULUS = 1 << 30


def padded_channels(channels: int) -> int:
    """Channels filled up to a power of two."""
    return max(MIN_CHANNELS, 1 << (channels - 1).bit_length())


def interleaved(a: Tensor) -> Tensor:
    """The filter's columns, then the gate's (..., 2G) -> one of each in turn."""
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


def kernel_sizes(network: Network, prefetch: int) -> dict[str, int]:
    """What the kernel is compiled for: a model's sizes, and how many layers are under way at once.

    With `prefetch` above 1 the weights of layers to come are loaded ahead, through shared memory.
    """
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
        "PREFETCH": prefetch,
    }


def compile_options(network: Network) -> dict[str, int]:
    """How the kernel is compiled: with enough warps for a layer's newest tap to fit registers."""
    warps = 8 if network.r * 2 * network.g <= TILE else 16
    return {"num_warps": warps, "enable_fp_fusion": True}


def require_supported(config: ModelConfig, device: torch.device) -> None:
    """Raises UnsupportedModelError unless the model fits the kernel, and the device runs it."""
    r, gate = config.residual_channels, config.gate_channels
    if padded_channels(r) * 2 * padded_channels(gate // 2) > MAX_TAP_WEIGHTS:
        settings = f"model.residual_channels = {r} with model.gate_channels = {gate}"
        reason = f"{settings} is too wide for it"
        raise UnsupportedModelError("`engine` triton", reason, "use cuda-graph")
    if device.type != "cuda":
        return
    if torch.cuda.get_device_capability(device) < MIN_CAPABILITY:
        reason = f"{device_name(device)} is older than Ampere"
        raise UnsupportedModelError("`engine` triton", reason, "use `engine` cuda-graph or numba")
    try:
        # This builds a helper of Triton's own.
        triton.runtime.driver.active.get_current_device()
    except Exception as e:
        # Whatever a compiler, a linker or a missing header leads to.
        reason, needs = f"Triton cannot start ({e})", "it needs a C compiler and Python's headers"
        raise UnsupportedModelError("`engine` triton", reason, needs) from None


class TritonEngine(DeviceEngine):
    name = "triton"

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Array],
        options: EngineOptions = DEFAULTS,
        *,
        prefetch: int = 1,
    ) -> None:
        """`prefetch` is as in `kernel_sizes`."""
        options = options.for_engine(rounds_weights=True)
        device, precision = device_for(self.name), options.precision
        require_supported(config, device)
        network = Network(
            config, weights, device, torch.float32, precision=precision, width=padded_channels
        )
        super().__init__(network, options)
        self._weights = kernel_weights(network, precision)
        self._sizes = kernel_sizes(network, prefetch)
        self._compile_options = compile_options(network)

    def describe(self, batch: int) -> str:
        device = device_name(self._network.device)
        return f"triton engine ({device}, {self.options.precision}, a program for each stream)"

    def _after_silence(self, frames: Array) -> State:
        """Compiles the kernel, too, before anything is timed: no steps do nothing else."""
        state = super()._after_silence(frames)
        no_noise = np.zeros((len(frames), 0, self.distribution.n_noise), np.float32)
        with reporting(self.options.report):
            self._launch(state, no_noise, [Sampling()] * len(frames), None)
        return state

    def _generate(
        self,
        state: State,
        noise: Noise,
        samplings: Sequence[Sampling],
        conditioning: Conditioning | None,
    ) -> Samples:
        codes, params = self._launch(state, noise, samplings, conditioning)
        state.times += noise.shape[1]
        if not torch.isfinite(params).all():
            raise overflow(state.times)
        x: Samples = codes.cpu().numpy().astype(np.int64)
        return x

    def _launch(
        self,
        state: State,
        noise: Noise,
        samplings: Sequence[Sampling],
        conditioning: Conditioning | None,
    ) -> tuple[Tensor, Tensor]:
        """Start the kernel. It draws codes (batch, time) and leaves the last params (batch, N)."""
        batch, steps = noise.shape[:2]
        device, n_params, sizes = self._network.device, self.distribution.n_params, self._sizes
        channels = sizes["L"] * sizes["G"] + sizes["S"] + sizes["H"] + sizes["N"]
        # Without any steps, nothing is written here.
        scratch = torch.zeros(batch, channels, device=device)
        codes = torch.empty(batch, steps, dtype=torch.int32, device=device)
        uniforms = torch.tensor(noise, dtype=torch.float32, device=device)
        # A model without conditioning reads no frames, but the kernel takes a pointer. A label's
        # only frame holds for ever.
        frames, n_frames, hop, frame_offsets = scratch, 0, TIME_MODULUS, np.zeros(batch, np.int64)
        if conditioning is not None:
            frames = interleaved(self._network.frames(conditioning.frames)).contiguous()
            n_frames = frames.shape[1]
            if conditioning.hop <= TIME_MODULUS:
                hop, frame_offsets = conditioning.hop, state.times - conditioning.start
        memory = (state.rings, scratch, state.last, codes, uniforms, frames)

        def of_streams(values: Any, dtype: torch.dtype) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)

        times = (
            of_streams(state.times % TIME_MODULUS, torch.int32),
            of_streams(frame_offsets, torch.int32),
        )
        limits = (
            of_streams([s.temperature for s in samplings], torch.float32),
            of_streams([min(s.top_k or n_params, n_params) for s in samplings], torch.int32),
            of_streams([s.top_p for s in samplings], torch.float32),
        )
        lengths = (steps, n_frames, hop)
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            advance[(batch,)](
                *self._weights, *memory, *times, *limits, *lengths, **sizes, **self._compile_options
            )
        return codes, scratch[:, -sizes["N"] :]
