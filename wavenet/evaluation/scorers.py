"""Ways to predict a recording that is there: by the parallel forward pass, or by an engine that is fed it. Both give the same figure."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavenet.arrays import Array, Samples
from wavenet.audio.quantization import as_wav
from wavenet.engines import create_engine
from wavenet.engines.conditioning import Conditioning, Projection
from wavenet.engines.options import EngineOptions
from wavenet.engines.weights import require_finite
from wavenet.errors import EngineError
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.distributions.registry import distribution_for

FEED_SAMPLES = 1 << 12  # fed to an engine at once


class ScoredSegment(NamedTuple):
    """Part of a recording to predict, with what is heard before it."""

    x: Samples  # (time,) codes
    context: int  # how many of the first are only heard
    pcm: NDArray[np.int16]  # the whole recording
    begin: int  # where in it x begins: on a mel frame, where the model follows any
    label: int


Scorer = Callable[[ScoredSegment], float]  # summed over what is predicted


def create_scorer(model: Checkpoint, engine: str, device: str, options: EngineOptions) -> Scorer:
    """`engine` is parallel, or one that generates. Raises EngineError."""
    require_finite(model.weights)
    if engine != "parallel" and device != "auto":
        raise EngineError(
            f"--device {device}: --engine {engine} picks its own; only parallel takes one"
        )
    if engine == "parallel" and options.precision != "fp32":
        raise EngineError(
            f"--precision {options.precision}: only engines take one; add --engine numba"
        )
    if engine == "parallel" and options.threads:
        raise EngineError(
            f"--threads {options.threads}: only engines take a number; add --engine numba"
        )
    return _parallel(model, device) if engine == "parallel" else _by_engine(model, engine, options)


def _parallel(model: Checkpoint, device_name: str) -> Scorer:
    import torch

    from wavenet.model.conditioning.conditioner import conditions_of
    from wavenet.model.network import WaveNet
    from wavenet.system.device import pick_device

    config = model.config.model
    device = pick_device(device_name)
    network = WaveNet.from_arrays(config, model.weights).to(device).eval()
    silence, reach = network.distribution.silence, network.receptive_field

    @torch.no_grad()
    def nats(stretch: ScoredSegment) -> float:
        padded = np.concatenate([np.full(max(0, reach - stretch.context), silence), stretch.x])
        heard = torch.from_numpy(padded).to(device)[None]
        context = max(reach, stretch.context)
        first, rows = stretch.begin + stretch.context - context + 1, len(padded) - 1
        given = conditions_of(
            config, model.config.audio.sample_rate, stretch.pcm, stretch.label, first, rows, device
        )
        params = network(heard[:, :-1], given)[:, context - reach :]
        return float(network.distribution.loss(params, heard[:, context:]) * params.shape[1])

    return nats


def _by_engine(model: Checkpoint, name: str, options: EngineOptions) -> Scorer:
    config = model.config.model
    try:
        engine = create_engine(name, config, model.weights, options)
    except EngineError as e:
        raise EngineError(str(e).replace("use auto", "use parallel, auto")) from None
    distribution = distribution_for(config)
    projection = Projection(config, model.weights) if config.condition_channels else None

    def nats(stretch: ScoredSegment) -> float:
        features = [_features(model, projection, stretch)] if projection else []

        def cond(time: int, steps: int) -> Conditioning | None:
            return projection.cond(features, time, steps) if projection else None

        state, total = engine.init_state(1, cond(0, 0)), 0.0
        for at in range(0, len(stretch.x), FEED_SAMPLES):
            block = stretch.x[at : at + FEED_SAMPLES]
            params = engine.prefill(state, block[None], cond(at, len(block)))[0]
            total += distribution.nats(params, block)[max(0, stretch.context - at) :].sum()
        return float(total)

    return nats


def _features(model: Checkpoint, projection: Projection, stretch: ScoredSegment) -> Array:
    """What the network is told from where the stretch begins on, (n, C)."""
    from wavenet.audio import mel

    config, context, pcm = model.config.model, model.config.model.mel_context, stretch.pcm
    if not config.mel_bands:
        return projection.features(label=stretch.label)
    # the frames around it, computed from some samples more at either end; those of the ends themselves are cut off again
    first = stretch.begin // config.mel_hop
    spare = -(-config.mel_window // config.mel_hop) + context
    low = max(0, first - spare)
    high = stretch.begin + len(stretch.x) + (spare + 1) * config.mel_hop
    frames = mel.frames_of(
        as_wav(pcm[low * config.mel_hop : high]), model.config.audio.sample_rate, config
    )
    return projection.features(frames, stretch.label)[first - low :]
