"""The effective receptive field of a trained network: how much each past sample moves predictions.

At many samples of real recordings, the gradient of the log-likelihood of that sample is taken with
respect to the embedding of every sample in the receptive field. The influence of a lag is the
length of that gradient, averaged over the predictions (Luo et al. 2016). Where the embedding is the
sample's value times one vector, only the part of the gradient along that vector counts: nothing
else can vary.

torch is imported when `measure` is called.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wavenet.analysis.path_counts import EffectiveReceptiveField
from wavenet.audio import levels, reading
from wavenet.audio.quantization import to_pcm16
from wavenet.config import Config
from wavenet.data.pcm_cache import index_folder
from wavenet.data.split import Span
from wavenet.data.tracks import attach, source_of
from wavenet.engines.weights import require_finite
from wavenet.errors import AudioError, CorpusError, EngineError
from wavenet.model import known_labels
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.front_end import Source
from wavenet.model.target import target_of
from wavenet.system.notices import tell

if TYPE_CHECKING:
    from torch import Tensor

    from wavenet.model.network import WaveNet

PREDICTIONS = 100


class Target(NamedTuple):
    """A sample to predict, a receptive field or more behind the start of its recording."""

    source: Source
    at: int


def measure(
    model: Model,
    recordings: Path,
    *,
    label: str | None = None,
    device: str = "auto",
    cache: Path | None = None,
    track: Callable[[Sequence[Target]], Iterable[Target]] = iter,
    report: Callable[[str], object] = tell,
) -> EffectiveReceptiveField:
    """Averaged over samples of a recording, or of a folder of them, under one label if any.

    `track` may show how far it is: what it returns is iterated over. `report` is called with a line
    of text about whatever takes long; by default see `wavenet.system.notices`. Raises WavenetError
    for recordings that cannot be measured on: silent ones, broken ones, and those shorter than the
    receptive field.
    """
    import torch

    from wavenet.model.compilation import reporting
    from wavenet.model.network import WaveNet
    from wavenet.system.device import pick_device

    config = model.config
    require_finite(model.weights)
    label_id = known_labels.choose([label], config.model.labels)[0] if label is not None else 0
    targets = _targets(_recordings(recordings, config, cache, report), config, recordings)
    network = WaveNet.from_arrays(config.model, model.weights).to(pick_device(device))
    network.requires_grad_(False)
    total = torch.zeros(network.receptive_field, dtype=torch.float64)

    def influence(target: Target) -> "Tensor":
        source = target.source._replace(label=label_id)
        return influence_at(network, source, target.at, config.audio.sample_rate)

    with reporting(report, network.embedding.weight.device):
        # Once more than is counted, so that nothing is compiled while `track` shows.
        influence(targets[0])
    for target in track(targets):
        total += influence(target)
    if not total.sum() > 0:
        reason = "no sample there moves a prediction of this model, so there is nothing to measure"
        raise EngineError(recordings, reason)
    return EffectiveReceptiveField((total / total.sum()).numpy(), len(targets), str(recordings))


def influence_at(network: "WaveNet", source: Source, at: int, sample_rate: int) -> "Tensor":
    """Of every lag on the prediction of sample `at`, which lies a receptive field in or later.

    Returns (receptive_field,) in float64, lag 0 first.
    """
    import torch

    from wavenet.model.conditioning.windows import conditioning_input_of

    field, distribution = network.receptive_field, network.distribution
    table = network.embedding.weight
    wav = target_of(network.config, sample_rate, source, at - field, at + 1)
    codes = distribution.encode(wav)
    x = torch.from_numpy(codes)[None].to(table.device)  # (1, receptive_field + 1)
    first = at - field + 1
    inputs = conditioning_input_of(network.config, sample_rate, source, first, field, table.device)
    embedded: list[Tensor] = []

    def keep_embedded(_stack: object, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        embedded.append(inputs[0].detach().requires_grad_())
        return (embedded[0], *inputs[1:])

    with torch.enable_grad(), network.stack.register_forward_pre_hook(keep_embedded):
        loss = distribution.loss(network(x[:, :-1], inputs), x[:, -1:])
    (gradient,) = torch.autograd.grad(loss, embedded)  # (1, R, receptive_field)
    gradient = gradient.transpose(1, 2)
    lengths = gradient.norm(dim=2)
    if distribution.scalar_input:
        lengths = (gradient @ (table[0] / table[0].norm())).abs()
    by_lag: Tensor = lengths.flatten().flip(0).cpu().double()
    return by_lag


def _recordings(
    source: Path, config: Config, cache: Path | None, report: Callable[[str], object]
) -> list[Source]:
    """Each recording, at the level of training, with what the model follows of it.

    Raises AudioError or CorpusError.
    """
    lies_beside = {"pitch", "features", "segments"} & {*config.model.conditioning}
    if source.is_dir() or (lies_beside and source.exists()):
        audio, trim = config.audio, config.trims
        index = index_folder(source, audio, trim=trim, cache=cache, wait_seconds=-1, on_wait=report)
        index, _, tracks = attach(index, config)
        spans = [Span(recording, 0, recording.samples) for recording in index.recordings]
        return [source_of(index, span, tracks) for span in spans]
    if not source.exists():
        raise CorpusError(source, "no such recording or folder")
    audio, rate = config.audio, config.audio.sample_rate
    wav = np.concatenate([np.zeros(0, np.float32), *reading.read_blocks(source, rate)])
    level = levels.measure([wav], rate, audio.trim_db)
    if not level.finite:
        raise AudioError(source, "holds NaN or infinite samples", "repair it first")
    if level.silent:
        advice = "measure on a recording like those the model was trained on"
        raise AudioError(source, "is silent", advice)
    return [Source(to_pcm16(wav, levels.gain_for(level.peak, audio.level, audio.peak_db)), 0)]


def _targets(recordings: list[Source], config: Config, source: Path) -> list[Target]:
    """Samples to predict, evenly spread over all that have a whole receptive field before them.

    Raises CorpusError when there are none.
    """
    receptive_field, rate = config.model.receptive_field, config.audio.sample_rate
    # Candidates are numbered through all recordings; `ends` holds the number after each one's last.
    ends = np.cumsum([max(0, len(r.pcm) - receptive_field) for r in recordings])
    if not ends[-1]:
        longest = max(len(r.pcm) for r in recordings)
        reason = (
            f"too short: its longest recording has {longest:,} samples "
            f"({1000 * longest / rate:.0f} ms) and this model hears {receptive_field:,} "
            f"({1000 * receptive_field / rate:.0f} ms)"
        )
        raise CorpusError(source, reason, "measure on a longer one")
    count = min(PREDICTIONS, int(ends[-1]))
    targets = []
    for candidate in ((np.arange(count) + 0.5) * ends[-1] / count).astype(int):
        number = int(np.searchsorted(ends, candidate, side="right"))
        recording = recordings[number]
        at = len(recording.pcm) - int(ends[number] - candidate)
        targets.append(Target(recording, at))
    return targets
