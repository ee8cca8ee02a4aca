"""Two ways to compute the likelihood of a recording, which give the same result.

They are the parallel forward pass of training, and the prefill of a generation engine.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from wavenet.engines import ENGINES, create_engine
from wavenet.engines.conditioning import Projection
from wavenet.engines.options import EngineOptions
from wavenet.engines.weights import require_finite
from wavenet.errors import UsageError
from wavenet.glossary import Samples
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.front_end import Source
from wavenet.model.distributions.registry import distribution_for

PREFILL_SAMPLES = 1 << 12  # in one call of an engine


class ScoredSegment(NamedTuple):
    """Part of a recording to score, after samples that only serve as its context."""

    source: Source
    # Where in the recording `x` begins: on a mel frame, where the model takes any.
    begin: int
    x: Samples  # (time,) codes
    # How many of the first samples are context.
    context: int


# Returns the sum of the negative log-likelihoods of the scored samples, in nats.
Scorer = Callable[[ScoredSegment], float]


def create_scorer(model: Model, engine: str, device: str, options: EngineOptions) -> Scorer:
    """`engine` is parallel, or one that generates. Raises UsageError or EngineError."""
    require_finite(model.weights)
    if engine == "parallel":
        advice = "add `engine` numba"
        if options.precision not in ("auto", "fp32"):
            raise UsageError("precision", options.precision, "only engines take one", advice)
        if options.threads:
            raise UsageError("threads", options.threads, "only engines take a number", advice)
        return _parallel(model, device, options.report)
    if device != "auto":
        reason = f"`engine` {engine} picks its own"
        raise UsageError("device", device, reason, "only parallel takes one")
    if engine not in ("auto", *ENGINES):
        advice = f"use parallel, auto or one of {', '.join(ENGINES)}"
        raise UsageError("engine", engine, "unknown", advice)
    return _by_engine(model, engine, options)


def _parallel(model: Model, device_name: str, report: Callable[[str], object]) -> Scorer:
    import torch

    from wavenet.model.compilation import compile_forward
    from wavenet.model.conditioning.windows import conditioning_input_of
    from wavenet.model.network import WaveNet
    from wavenet.system.device import pick_device

    config, rate = model.config.model, model.config.audio.sample_rate
    device = pick_device(device_name)
    network = WaveNet.from_arrays(config, model.weights).to(device)
    receptive_field = network.receptive_field
    compile_forward(network, report)

    @torch.no_grad()
    def nats(segment: ScoredSegment) -> float:
        # Before the recording there is silence.
        missing = max(0, receptive_field - segment.context)
        padded = np.pad(segment.x, (missing, 0), constant_values=network.distribution.silence)
        x = torch.from_numpy(padded).to(device)[None]  # (1, context + scored)
        first, rows = segment.begin - missing + 1, len(padded) - 1
        inputs = conditioning_input_of(config, rate, segment.source, first, rows, device)
        context = segment.context + missing
        params = network(x[:, :-1], inputs)[:, context - receptive_field :]
        return float(network.distribution.loss(params, x[:, context:]) * params.shape[1])

    return nats


def _by_engine(model: Model, name: str, options: EngineOptions) -> Scorer:
    config, rate = model.config.model, model.config.audio.sample_rate
    engine = create_engine(name, config, model.weights, options)
    distribution = distribution_for(config)
    projection = Projection(config, model.weights)

    def nats(segment: ScoredSegment) -> float:
        features = [projection.features_of(segment.source, rate, segment.begin, len(segment.x))]
        state, total = engine.init_state(1, projection.conditioning(features, 0, 0)), 0.0
        for at in range(0, len(segment.x), PREFILL_SAMPLES):
            block = segment.x[at : at + PREFILL_SAMPLES]
            conditioning = projection.conditioning(features, at, len(block))
            params = engine.prefill(state, block[None], conditioning)[0]
            total += distribution.nats(params, block)[max(0, segment.context - at) :].sum()
        return float(total)

    return nats
