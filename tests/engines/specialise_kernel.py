"""Goes through Triton's own path to a launch for a GPU that is not here, up to the launch itself.

Prints, as JSON, for each model what the user is told and how many kernels were compiled in all.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from tests.engines.parity import MODELS, PLAIN, SAMPLINGS, VARIED, noise_of
from tests.helpers import StreamConditioning, arrays, network
from wavenet.engines.gpu import triton_engine
from wavenet.engines.gpu.triton_engine import TritonEngine, advance
from wavenet.engines.options import EngineOptions


class Hopper:
    """As much of a driver as compiling takes."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)


class Unlaunched:
    """The kernel, which is compiled where it would be launched."""

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., Any]:
        return lambda *arguments, **sizes: advance.warmup(*arguments, grid=grid, **sizes)


def compiled(name: str) -> tuple[list[str], int]:
    """With batches, numbers of steps and samplings that differ."""
    model, told = network(MODELS[name]), []
    engine = TritonEngine(model.config, arrays(model), EngineOptions(report=told.append))
    for batch in (3, 1):
        conditioning = StreamConditioning(model, range(batch))
        state = engine.init_state(batch, conditioning.conditioning(0, 0))
        for steps in (1, 16, 257):
            for sampling in [PLAIN] if model.distribution.scalar_input else SAMPLINGS:
                noise = noise_of(model, 1, batch, steps)
                engine._launch(
                    state, noise, [sampling] * batch, conditioning.conditioning(0, steps)
                )
    return told, len(advance.device_caches[0][0])


if __name__ == "__main__":
    driver.set_active(Hopper())
    triton_engine.device_for = lambda _engine: torch.device("cpu")
    triton_engine.advance = Unlaunched()
    json.dump([compiled(name) for name in VARIED], sys.stdout)
