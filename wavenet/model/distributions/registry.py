"""Which distribution a model predicts: the only place that asks for its name.

The package's own text says what it takes to add one.
"""

from collections.abc import Callable

from wavenet.config import ModelConfig
from wavenet.model.distributions.base import Distribution
from wavenet.model.distributions.categorical import Categorical
from wavenet.model.distributions.mixture import GaussianMixture, LogisticMixture

DISTRIBUTIONS: dict[str, Callable[[ModelConfig], Distribution]] = {
    "mulaw": lambda model: Categorical(model.levels),
    "logistic": lambda model: LogisticMixture(model.mixtures),
    "gaussian": lambda model: GaussianMixture(model.mixtures),
}


def distribution_for(model: ModelConfig) -> Distribution:
    """The distribution that a model predicts."""
    return DISTRIBUTIONS[model.output](model)
