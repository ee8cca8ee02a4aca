"""Train a WaveNet on your own recordings and hear it.

    import wavenet
    model = wavenet.load("runs/x")
    # float32, -1 ... 1, at model.config.audio.sample_rate
    wav = wavenet.generate(model, seconds=2, seed=7)

Nothing heavy is imported until it is used; generating on a CPU never imports torch.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wavenet.system.user_folders import provide_caches
from wavenet.version import __version__ as __version__

if TYPE_CHECKING:
    from wavenet.config import Config
    from wavenet.engines import create_engine
    from wavenet.errors import WavenetError
    from wavenet.generation.api import generate, load, vocode
    from wavenet.generation.sampler import Sampler
    from wavenet.model.checkpoint import Checkpoint
    from wavenet.model.cost import receptive_field
    from wavenet.model.distributions.base import Sampling
    from wavenet.model.distributions.categorical import Categorical
    from wavenet.model.distributions.mixture import GaussianMixture, LogisticMixture
    from wavenet.model.network import WaveNet, WaveNetStack

    pick = create_engine

provide_caches()

_HOME = {
    "Categorical": "model.distributions.categorical",
    "Checkpoint": "model.checkpoint",
    "Config": "config",
    "GaussianMixture": "model.distributions.mixture",
    "LogisticMixture": "model.distributions.mixture",
    "Sampler": "generation.sampler",
    "Sampling": "model.distributions.base",
    "WaveNet": "model.network",
    "WaveNetStack": "model.network",
    "WavenetError": "errors",
    "create_engine": "engines",
    "generate": "generation.api",
    "load": "generation.api",
    "receptive_field": "model.cost",
    "vocode": "generation.api",
}
# Names that the library went by before. They still work, with a DeprecationWarning.
_FORMER = {"pick": "create_engine"}

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
    "create_engine",
    "generate",
    "load",
    "receptive_field",
    "vocode",
]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


# Hidden from type checkers, which would take any name at all to be there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        current = _FORMER.get(name, name)
        if current not in _HOME:
            raise AttributeError(f"module 'wavenet' has no attribute {name!r}")
        if current != name:
            message = f"wavenet.{name} is called wavenet.{current} now"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(import_module(f"wavenet.{_HOME[current]}"), current)
