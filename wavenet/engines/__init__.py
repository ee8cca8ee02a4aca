"""Engines turn noise into samples, one after the other. They differ in speed and in nothing else.

The caller owns the state. An engine advances it in place, so generation can stop, go on and stream
in blocks of any size. A fresh state is that of a network which has read endless silence.
"""

import importlib
from collections.abc import Mapping

from wavenet.config import Config, ModelConfig
from wavenet.config.loading import model_of
from wavenet.engines.engine import Engine as Engine
from wavenet.engines.options import DEFAULTS, EngineOptions
from wavenet.errors import EngineError, UnsupportedModelError, UsageError
from wavenet.glossary import Array
from wavenet.model.arguments import require_type
from wavenet.model.parameters import require_weights
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
    config: ModelConfig | Config | str,
    weights: Mapping[str, Array],
    options: EngineOptions | None = None,
) -> Engine:
    """The engine called `name`, loaded with a model.

    `auto` is the fastest that runs on this machine and supports the model; the others are in
    `ENGINES`: triton, numba, cuda-graph and reference. `config` is the network's, as for `WaveNet`.
    `weights` are those of a checkpoint, `model.weights`, or of a network: its state_dict as NumPy
    arrays. Raises UsageError for an unknown name and for weights that are not the config's, and
    EngineError for an engine that cannot be loaded.

    >>> model = wavenet.load("demo-voice")
    >>> engine = wavenet.create_engine("reference", model.config, model.weights)
    >>> state = engine.init_state(batch=2)
    >>> noise = np.random.default_rng(0).uniform(0.01, 0.99, (2, 5))
    >>> codes = engine.generate(state, noise, wavenet.Sampling())
    >>> engine.distribution.decode(codes).shape
    (2, 5)
    """
    config = model_of(config)
    require_weights("weights", config, weights)
    if options is not None:
        require_type("options", options, EngineOptions)
    if not isinstance(name, str) or (name != "auto" and name not in ENGINES):
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
