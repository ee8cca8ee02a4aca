"""Engines turn noise into samples, one after the other. All keep the same promises; they differ in speed.

The caller owns the state: it goes in and is advanced in place, so generation can stop, go on and stream in blocks of any
size. A fresh state has heard endless silence.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from wavenet.arrays import Array, Noise, Params, Samples
from wavenet.config import ModelConfig
from wavenet.engines.conditioning import Conditioning
from wavenet.engines.options import EngineOptions
from wavenet.errors import EngineError, UnsupportedModelError
from wavenet.model.distributions.base import Sampling
from wavenet.system.machine import nvidia

ENGINES = {  # fastest first, for one stream
    "triton": "wavenet.engines.gpu.triton_engine:TritonEngine",
    "numba": "wavenet.engines.cpu.numba_engine:NumbaEngine",
    "cuda-graph": "wavenet.engines.gpu.cuda_graph:CudaGraphEngine",
    "reference": "wavenet.engines.reference:ReferenceEngine",
}
ON_GPU = ("triton", "cuda-graph")


class Engine(Protocol):
    """What every engine does. Streams of a batch never influence each other."""

    name: str

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Array],
        options: EngineOptions | None = None,
    ) -> None: ...

    def describe(self, batch: int) -> str:
        """Which engine this is and how it will run so many streams, for the user."""
        ...

    def init_state(self, batch: int, cond: Conditioning | None = None) -> Any:
        """The state of `batch` streams that have heard nothing but silence, under the first frame of their conditions."""
        ...

    def select(self, state: Any, streams: Sequence[int]) -> Any:
        """A state whose streams go on from the named ones of `state`, which may be named several times or not at all."""
        ...

    def prefill(self, state: Any, x: Samples, cond: Conditioning | None = None) -> Params:
        """Hear given samples x (batch, time). Returns what was predicted for each: params (batch, time, n_params)."""
        ...

    def generate(
        self, state: Any, noise: Noise, sampling: Sampling, cond: Conditioning | None = None
    ) -> Samples:
        """Make as many samples as there is noise (batch, time, n_noise); returns codes (batch, time).

        Where one number makes a draw, noise may be (batch, time). Raises EngineError for a sampling that the output does not offer.
        """
        ...


def candidates() -> list[str]:
    """Engines that may run on this machine, fastest first. Where there is no GPU nothing is imported to find that out."""
    here = nvidia()
    return [name for name in ENGINES if here or name not in ON_GPU]


def create_engine(
    name: str,
    config: ModelConfig,
    weights: Mapping[str, Array],
    options: EngineOptions | None = None,
) -> Engine:
    """The engine called `name`, loaded with a model; `auto` takes the fastest that serves it here. Raises EngineError."""
    if name != "auto" and name not in ENGINES:
        raise EngineError(f"--engine {name}: unknown; use auto or one of {', '.join(ENGINES)}")
    reason = ""
    for candidate in candidates() if name == "auto" else [name]:
        module, _, cls = ENGINES[candidate].partition(":")
        try:
            engine: Engine = getattr(importlib.import_module(module), cls)(config, weights, options)
        except ImportError as e:
            reason = str(e)
        except UnsupportedModelError:
            if name != "auto":
                raise
        else:
            return engine
    raise EngineError(f"--engine {name}: cannot be loaded ({reason}); install it, or use another")
