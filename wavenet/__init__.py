"""Train a WaveNet on your own recordings and hear it.

    import wavenet
    model = wavenet.load("runs/x")
    wav = wavenet.generate(model, seconds=2, seed=7)      # float32, -1 ... 1, at model.config.audio.sample_rate

Nothing heavy is imported until it is used; generating on a CPU never imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavenet.checkpoint import Checkpoint
    from wavenet.config import Config
    from wavenet.distributions import Categorical, GaussianMixture, LogisticMixture, Sampling
    from wavenet.engines import pick
    from wavenet.errors import WavenetError
    from wavenet.model import WaveNet, WaveNetStack
    from wavenet.receptive import receptive_field
    from wavenet.sampler import Sampler, generate, load, vocode

__version__ = "0.1.0"

_HOME = {
    "Categorical": "distributions",
    "Checkpoint": "checkpoint",
    "Config": "config",
    "GaussianMixture": "distributions",
    "LogisticMixture": "distributions",
    "Sampler": "sampler",
    "Sampling": "distributions",
    "WaveNet": "model",
    "WaveNetStack": "model",
    "WavenetError": "errors",
    "generate": "sampler",
    "load": "sampler",
    "pick": "engines",
    "receptive_field": "receptive",
    "vocode": "sampler",
}

__all__ = [
    "Categorical",
    "Checkpoint",
    "Config",
    "GaussianMixture",
    "LogisticMixture",
    "Sampler",
    "Sampling",
    "WaveNet",
    "WaveNetStack",
    "WavenetError",
    "generate",
    "load",
    "pick",
    "receptive_field",
    "vocode",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'wavenet' has no attribute {name!r}")
    return getattr(import_module(f"wavenet.{_HOME[name]}"), name)
