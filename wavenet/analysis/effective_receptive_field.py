"""What a trained network makes of its field: how much each past sample moves its predictions of real audio.

At many moments of the recordings, the gradient of the log-likelihood of the sample that really came next is taken with respect to the
vector that stands for each sample heard; the influence of a lag is that gradient's length, averaged over the moments. Where a sample is
heard as its value times one vector, only the part along that vector counts: nothing else can vary.

torch is imported when `measure` is called.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wavenet.analysis.path_counts import EffectiveReceptiveField
from wavenet.audio import levels, reading
from wavenet.audio.quantization import as_wav
from wavenet.config import Config
from wavenet.data.pcm_cache import index_folder
from wavenet.engines.weights import require_finite
from wavenet.errors import AudioError, CorpusError, EngineError
from wavenet.model import known_labels
from wavenet.model.checkpoint import Checkpoint
from wavenet.system.progress import LAYOUT_WITHOUT_COUNT, bar

if TYPE_CHECKING:
    from torch import Tensor

    from wavenet.model.network import WaveNet

MOMENTS = 100  # predictions that are averaged over
Pcm = NDArray[np.int16]


def measure(
    model: Checkpoint, source: Path, label: str | None, device_name: str, cache: Path | None
) -> EffectiveReceptiveField:
    """On a recording or a folder of them. Raises WavenetError for what cannot be heard, or is shorter than the receptive field."""
    import torch

    from wavenet.model.network import WaveNet
    from wavenet.system.device import pick_device

    config = model.config
    require_finite(model.weights)
    told = known_labels.choose([] if label is None else [label], config.model.labels) or [0]
    recordings = _recordings(source, config, cache)
    moments = _moments(recordings, config, source)
    device = pick_device(device_name)
    network = WaveNet.from_arrays(config.model, model.weights).to(device).requires_grad_(False)
    total = torch.zeros(network.receptive_field, dtype=torch.float64)
    with bar(len(moments), layout=LAYOUT_WITHOUT_COUNT, leave=False) as progress:
        for which, at in moments:
            total += influence_at(network, recordings[which], at, told[0], config.audio.sample_rate)
            progress.update(1)
    if not total.sum() > 0:
        raise EngineError(
            f"{source}: no sample there moves a prediction of this model, so there is nothing to measure"
        )
    return EffectiveReceptiveField((total / total.sum()).numpy(), len(moments), str(source))


def influence_at(network: "WaveNet", pcm: Pcm, at: int, label: int, sample_rate: int) -> "Tensor":
    """Of every lag on the prediction of sample `at`, which is at least receptive_field samples in: (field,) in float64, lag 0 first."""
    import torch

    from wavenet.model.conditioning.conditioner import conditions_of

    reach, distribution = network.receptive_field, network.distribution
    device = network.embedding.weight.device
    x = torch.from_numpy(distribution.encode(as_wav(pcm[at - reach : at + 1])))[None].to(
        device
    )  # (1, field + 1)
    given = conditions_of(network.config, sample_rate, pcm, label, at - reach + 1, reach, device)
    heard: list[Tensor] = []

    def keep(_stack: object, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        heard.append(inputs[0].detach().requires_grad_())
        return (heard[0], *inputs[1:])

    with torch.enable_grad(), network.stack.register_forward_pre_hook(keep):
        loss = distribution.loss(network(x[:, :-1], given), x[:, -1:])
    (gradient,) = torch.autograd.grad(loss, heard)  # (field, 1, R)
    table = network.embedding.weight
    along = (
        gradient @ (table[0] / table[0].norm())
        if distribution.scalar_input
        else gradient.norm(dim=2)
    )
    by_lag: Tensor = along.abs().flatten().flip(0).cpu().double()
    return by_lag


def _recordings(source: Path, config: Config, cache: Path | None) -> list[Pcm]:
    """Their samples, levelled as in training. Raises AudioError or CorpusError."""
    if source.is_dir():
        index = index_folder(source, config.audio, trim=config.trims, cache=cache)
        pcm = index.pcm()
        return [pcm[r.offset : r.offset + r.samples] for r in index.recordings]
    if not source.exists():
        raise CorpusError(f"{source}: no such recording or folder")
    rate = config.audio.sample_rate
    level = levels.measure(reading.read_blocks(source, rate), rate, config.audio.trim_db)
    if not level.finite:
        raise AudioError(f"{source}: holds NaN or infinite samples; repair it first")
    if level.silent:
        raise AudioError(
            f"{source}: is silent; measure on a recording like those the model was trained on"
        )
    gain = levels.gain_for(level.peak, config.audio.level, config.audio.peak_db)
    wav = np.concatenate(list(reading.read_blocks(source, rate)))
    return [np.clip(np.rint(wav * (gain * 32768)), -32768, 32767).astype(np.int16)]


def _moments(recordings: list[Pcm], config: Config, source: Path) -> list[tuple[int, int]]:
    """(recording, sample) pairs to predict, evenly spread over all samples that have a whole field before them. Raises CorpusError."""
    reach, rate = config.model.receptive_field, config.audio.sample_rate
    ends = np.cumsum([max(0, len(pcm) - reach) for pcm in recordings])
    if not ends[-1]:
        longest = max(len(pcm) for pcm in recordings)
        raise CorpusError(
            f"{source}: too short: its longest recording has {longest:,} samples ({1000 * longest / rate:.0f} ms) and this model hears "
            f"{reach:,} ({1000 * reach / rate:.0f} ms); measure on a longer one"
        )
    count = min(MOMENTS, int(ends[-1]))
    spread = (np.arange(count) + 0.5) * ends[-1] / count
    found = []
    for at in spread.astype(int):
        which = int(np.searchsorted(ends, at, side="right"))
        before = int(ends[which - 1]) if which else 0
        found.append((which, reach + int(at) - before))
    return found
