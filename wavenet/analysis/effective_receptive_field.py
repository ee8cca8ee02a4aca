"""The effective receptive field of a trained network: how much each past sample moves predictions.

At many samples of real recordings, the gradient of the log-likelihood of that sample is taken with
respect to the embedding of every sample in the receptive field. The influence of a lag is the
length of that gradient, averaged over the predictions (Luo et al. 2016). Where the embedding is the
sample's value times one vector, only the part of the gradient along that vector counts: nothing
else can vary.

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

PREDICTIONS = 100
Pcm = NDArray[np.int16]


def measure(
    model: Checkpoint, source: Path, label: str | None, device_name: str, cache: Path | None
) -> EffectiveReceptiveField:
    """Averaged over samples of a recording, or of a folder of them, under one label if any.

    Raises WavenetError for recordings that cannot be measured on: silent ones, broken ones, and
    those shorter than the receptive field.
    """
    import torch

    from wavenet.model.network import WaveNet
    from wavenet.system.device import pick_device

    config = model.config
    require_finite(model.weights)
    chosen = known_labels.choose([] if label is None else [label], config.model.labels)
    label_id = chosen[0] if chosen else 0
    recordings = _recordings(source, config, cache)
    targets = _targets(recordings, config, source)
    device = pick_device(device_name)
    network = WaveNet.from_arrays(config.model, model.weights).to(device).requires_grad_(False)
    sample_rate = config.audio.sample_rate
    total = torch.zeros(network.receptive_field, dtype=torch.float64)
    with bar(len(targets), layout=LAYOUT_WITHOUT_COUNT, leave=False) as progress:
        for recording, at in targets:
            total += influence_at(network, recordings[recording], at, label_id, sample_rate)
            progress.update(1)
    if not total.sum() > 0:
        raise EngineError(
            f"{source}: no sample there moves a prediction of this model, "
            "so there is nothing to measure"
        )
    return EffectiveReceptiveField((total / total.sum()).numpy(), len(targets), str(source))


def influence_at(network: "WaveNet", pcm: Pcm, at: int, label: int, sample_rate: int) -> "Tensor":
    """Of every lag on the prediction of sample `at`, which lies a receptive field in or later.

    Returns (receptive_field,) in float64, lag 0 first.
    """
    import torch

    from wavenet.model.conditioning.front_end import Source
    from wavenet.model.conditioning.windows import conditioning_input_of

    field, distribution = network.receptive_field, network.distribution
    device = network.embedding.weight.device
    codes = distribution.encode(as_wav(pcm[at - field : at + 1]))
    x = torch.from_numpy(codes)[None].to(device)  # (1, receptive_field + 1)
    inputs = conditioning_input_of(
        network.config, sample_rate, Source(pcm, label), at - field + 1, field, device
    )
    embedded: list[Tensor] = []

    def keep_embedded(_stack: object, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        embedded.append(inputs[0].detach().requires_grad_())
        return (embedded[0], *inputs[1:])

    with torch.enable_grad(), network.stack.register_forward_pre_hook(keep_embedded):
        loss = distribution.loss(network(x[:, :-1], inputs), x[:, -1:])
    (gradient,) = torch.autograd.grad(loss, embedded)  # (receptive_field, 1, R)
    if distribution.scalar_input:
        vector = network.embedding.weight[0]
        lengths = (gradient @ (vector / vector.norm())).abs()
    else:
        lengths = gradient.norm(dim=2)
    by_lag: Tensor = lengths.flatten().flip(0).cpu().double()
    return by_lag


def _recordings(source: Path, config: Config, cache: Path | None) -> list[Pcm]:
    """The samples of each recording, at the level of training. Raises AudioError or CorpusError."""
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


def _targets(recordings: list[Pcm], config: Config, source: Path) -> list[tuple[int, int]]:
    """(recording, sample) pairs to predict, evenly spread over all with a whole field before them.

    Raises CorpusError when there are none.
    """
    receptive_field, rate = config.model.receptive_field, config.audio.sample_rate
    # Candidates are numbered through all recordings; `ends` holds the number after each one's last.
    ends = np.cumsum([max(0, len(pcm) - receptive_field) for pcm in recordings])
    if not ends[-1]:
        longest = max(len(pcm) for pcm in recordings)
        raise CorpusError(
            f"{source}: too short: its longest recording has {longest:,} samples "
            f"({1000 * longest / rate:.0f} ms) and this model hears {receptive_field:,} "
            f"({1000 * receptive_field / rate:.0f} ms); measure on a longer one"
        )
    count = min(PREDICTIONS, int(ends[-1]))
    candidates = (np.arange(count) + 0.5) * ends[-1] / count
    targets = []
    for candidate in candidates.astype(int):
        recording = int(np.searchsorted(ends, candidate, side="right"))
        start = int(ends[recording - 1]) if recording else 0
        targets.append((recording, receptive_field + int(candidate) - start))
    return targets
