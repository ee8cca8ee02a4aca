"""Engines turn noise into samples, one after the other. They differ in speed and in nothing else.

The caller owns the state. An engine advances it in place, so generation can stop, go on and stream
in blocks of any size. A fresh state is that of a network which has read endless silence.
"""

import importlib
from collections.abc import Mapping

from wavenet.config import ModelConfig
from wavenet.engines.engine import Engine as Engine
from wavenet.engines.options import DEFAULTS, EngineOptions
from wavenet.errors import EngineError, UnsupportedModelError, UsageError
from wavenet.glossary import Array
from wavenet.system.machine import nvidia

# From the fastest to the slowest, for one stream.
ENGINES = {
    "triton": "wavenet.engines.gpu.triton_engine:TritonEngine",
    "numba": "wavenet.engines.cpu.numba_engine:NumbaEngine",
    "cuda-graph": "wavenet.engines.gpu.cuda_graph:CudaGraphEngine",
    "reference": "wavenet.engines.reference:ReferenceEngine",
}
ON_GPU = ("triton", "cuda-graph")


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

    `auto` is the fastest that runs on this machine and supports the model; the others are in
    `ENGINES`: triton, numba, cuda-graph and reference. `weights` are those of a checkpoint,
    `model.weights`, or of a network: its state_dict as NumPy arrays. Raises UsageError for an
    unknown name, and EngineError for one that cannot be loaded.
    """
    if name != "auto" and name not in ENGINES:
        raise UsageError("engine", name, "unknown", f"use auto or one of {', '.join(ENGINES)}")
    reason = ""
    for candidate in candidates() if name == "auto" else [name]:
        module, _, class_name = ENGINES[candidate].partition(":")
        try:
            engine_class = getattr(importlib.import_module(module), class_name)
            engine: Engine = engine_class(config, weights, options or DEFAULTS)
            return engine
        except ImportError as e:
            reason = str(e)
        except UnsupportedModelError:
            if name != "auto":
                raise
    problem = f"cannot be loaded ({reason})"
    raise EngineError(f"`engine` {name}", problem, "install it, or use another")
