"""How much memory a training step takes: arithmetic on the config, checked against real steps in the tests."""

from dataclasses import dataclass

from wavenet.config import Config
from wavenet.model.cost import model_cost
from wavenet.model.distributions.registry import distribution_for

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Memory:
    """Bytes at the fullest moment of a step; the program itself comes on top, a few hundred megabytes."""

    weights: int  # weights, gradients, their average, Adam's two moments, and the folded copy that the stack computes with
    activations: int  # what is kept for the backward pass, and the gradients on their way

    @property
    def total(self) -> int:
        return self.weights + self.activations


def estimate(config: Config, number: int, *, blocks: bool) -> Memory:
    """Memory of a step whose activations take `number` bytes each. `blocks`: rows are worked on in small blocks, as on a CPU."""
    m, train = config.model, config.train
    windows = -(-train.batch // train.accumulate)
    field = m.receptive_field
    rows = [
        (sum(taps[-1] for taps in m.offsets[i:]) + m.context_lag + config.segment_samples) * windows
        for i in range(len(m.schedule) + 1)
    ]
    group = train.checkpoint_layers or len(m.schedule)
    kept = [
        rows[i] * m.residual_channels + rows[i + 1] * m.gate_channels
        for i in range(len(m.schedule))
    ]
    groups = [sum(kept[i : i + group]) for i in range(0, len(kept), group)]
    starts = sum(rows[i] * m.residual_channels for i in range(group, len(kept), group))
    frames = -(-rows[0] // m.mel_hop) + windows * 2 if m.mel_bands else windows
    told = (
        2 * frames * m.gate_channels * len(m.schedule) if m.condition_channels else 0
    )  # and its gradient
    on_the_way = rows[0] * m.residual_channels + (0 if blocks else 2 * rows[0] * m.gate_channels)
    predicted = config.segment_samples * windows
    # of the pyramid: what is kept, and on the way back a gradient of the skip sums for each place they were heard from
    context = (9 * rows[-1] + 4 * predicted) * m.skip_channels if m.context == "pyramid" else 0
    head = predicted * (2 * m.skip_channels + 2 * m.head_channels) + told
    loss = predicted * distribution_for(m).loss_bytes
    whole = len(groups) == 1 and not train.checkpoint_layers
    in_head = (
        head + context + (groups[0] if whole else rows[0] * m.residual_channels + starts)
    ) * number + loss
    in_stack = (head + max(groups) + starts + on_the_way) * number
    embedded = (
        0
        if number == FLOAT
        else (field - 1 + config.segment_samples) * windows * m.residual_channels * FLOAT
    )
    found = model_cost(m, config.audio.sample_rate)
    folded = (
        found.computed_macs_per_sample - found.macs_per_sample
    )  # numbers more than the parameters; their gradients too
    return Memory(
        found.parameters * (6 * FLOAT + number) + 2 * folded * number,
        max(in_head, in_stack) + embedded,
    )
