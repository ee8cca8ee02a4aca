"""The kinds of output that engines draw from with code of their own."""

from wavenet.errors import UnsupportedModelError
from wavenet.model.distributions.base import Distribution

# By their `Distribution.kind`, the numbers by which kernels know them.
CATEGORICAL, LOGISTIC, GAUSSIAN = 0, 1, 2
KINDS = {"categorical": CATEGORICAL, "logistic": LOGISTIC, "gaussian": GAUSSIAN}


def require_known(distribution: Distribution, engine: str) -> None:
    """Raises UnsupportedModelError for a kind of output that an engine has no draw for."""
    if distribution.kind not in KINDS:
        reason = f"the {engine} engine has no draw for a {distribution.kind} output"
        raise UnsupportedModelError("", reason, "use `engine` reference")
