"""Engines turn noise into samples, one after the other. They differ in speed and in nothing else.

The caller owns the state. An engine advances it in place, so generation can stop, go on and stream
in blocks of any size. A fresh state is that of a network which has read endless silence.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from wavenet.config import ModelConfig
from wavenet.engines.options import EngineOptions
from wavenet.errors import EngineError, UnsupportedModelError
from wavenet.glossary import Array, Noise, Params, Samples
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.distributions.base import Sampling
from wavenet.system.machine import nvidia

# From the fastest to the slowest, for one stream.
ENGINES = {
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
        """For the user: which engine this is, and how it will run `batch` streams."""
        ...

    def init_state(self, batch: int, conditioning: Conditioning | None = None) -> Any:
        """The state of `batch` streams after endless silence, under their first frames."""
        ...

    def select(self, state: Any, streams: Sequence[int]) -> Any:
        """A new state that continues the streams of `state` with the given numbers, in that order.

        A stream may be selected several times, or not at all.
        """
        ...

    def prefill(self, state: Any, x: Samples, conditioning: Conditioning | None = None) -> Params:
        """Advance the state by given samples instead of drawn ones.

        x (batch, time) -> params (batch, time, n_params): what was predicted for each sample.
        """
        ...

    def generate(
        self, state: Any, noise: Noise, sampling: Sampling, conditioning: Conditioning | None = None
    ) -> Samples:
        """Draw one sample for each step of the noise.

        noise (batch, time, n_noise) -> codes (batch, time). The last axis of the noise may be
        missing where a draw takes one number. Raises EngineError for a `sampling` that the model's
        output does not offer.
        """
        ...


def candidates() -> list[str]:
    """Engines that may run on this machine, fastest first.

    On a machine without a GPU, nothing is imported to find that out.
    """
    has_gpu = nvidia()
    return [name for name in ENGINES if has_gpu or name not in ON_GPU]


def create_engine(
    name: str,
    config: ModelConfig,
    weights: Mapping[str, Array],
    options: EngineOptions | None = None,
) -> Engine:
    """The engine called `name`, loaded with a model.

    `auto` is the fastest that runs on this machine and supports the model. Raises EngineError.
    """
    if name != "auto" and name not in ENGINES:
        raise EngineError(f"--engine {name}: unknown; use auto or one of {', '.join(ENGINES)}")
    reason = ""
    for candidate in candidates() if name == "auto" else [name]:
        module, _, class_name = ENGINES[candidate].partition(":")
        try:
            engine_class = getattr(importlib.import_module(module), class_name)
            engine: Engine = engine_class(config, weights, options)
        except ImportError as e:
            reason = str(e)
        except UnsupportedModelError:
            if name != "auto":
                raise
        else:
            return engine
    raise EngineError(f"--engine {name}: cannot be loaded ({reason}); install it, or use another")
