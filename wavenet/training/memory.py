"""How much memory a training step takes: arithmetic on the config.

The tests check it against real steps.
"""

from dataclasses import dataclass

from wavenet.config import Config
from wavenet.model.cost import model_cost
from wavenet.model.distributions.registry import distribution_for

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of a step; the program itself comes on top, a few hundred megabytes."""

    # Weights, their gradients, their EMA, Adam's two moments, and the folded copy of the weights
    # that the stack computes with.
    weights: int

    # What is kept for the backward pass, and the gradients that are computed from it.
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.activations


def estimate(config: Config, element_bytes: int, *, blocks: bool) -> Memory:
    """Memory of a step, in bytes.

    `element_bytes` is the size of one activation; with `blocks`, rows are worked on in small
    blocks, as on a CPU.
    """
    model, train = config.model, config.train
    layers = len(model.schedule)
    windows = -(-train.batch // train.accumulate)

    # Time steps, over all windows, that each layer reads; the last entry is what the top one gives.
    rows = []
    for layer in range(layers + 1):
        context = sum(taps[-1] for taps in model.offsets[layer:]) + model.context_lag
        rows.append((context + config.segment_samples) * windows)

    # Numbers that each layer keeps for the backward pass, and the most that one checkpointed group
    # of layers keeps: only its inputs stay while another group is worked on.
    kept = [
        rows[layer] * model.residual_channels + rows[layer + 1] * model.gate_channels
        for layer in range(layers)
    ]
    checkpoint_every = train.checkpoint_layers or layers
    groups = [sum(kept[i : i + checkpoint_every]) for i in range(0, layers, checkpoint_every)]
    group_inputs = sum(
        rows[i] * model.residual_channels for i in range(checkpoint_every, layers, checkpoint_every)
    )

    # The projected conditioning and its gradient.
    frames = -(-rows[0] // model.frame_hop) + windows * 2 if model.follows_frames else windows
    conditioning = 2 * frames * model.gate_channels * layers if model.condition_channels else 0

    # Gradients that are passed from layer to layer.
    gradients = rows[0] * model.residual_channels
    if not blocks:
        gradients += 2 * rows[0] * model.gate_channels

    # The pyramid keeps its inputs, and in the backward pass has a gradient of the skip sums for
    # each of its lags.
    predicted = config.segment_samples * windows
    pyramid = 0
    if model.context == "pyramid":
        pyramid = (9 * rows[-1] + 4 * predicted) * model.skip_channels
    head = predicted * (2 * model.skip_channels + 2 * model.head_channels) + conditioning
    loss_bytes = predicted * distribution_for(model).loss_bytes

    # The peak is either in the head or in the stack. Without checkpointing, the stack keeps all its
    # activations while the head is worked on.
    if len(groups) == 1 and not train.checkpoint_layers:
        below_head = groups[0]
    else:
        below_head = rows[0] * model.residual_channels + group_inputs
    in_head = (head + pyramid + below_head) * element_bytes + loss_bytes
    in_stack = (head + max(groups) + group_inputs + gradients) * element_bytes

    # In half precision the embedded samples are kept in float32 too.
    embedded = 0
    if element_bytes != FLOAT_BYTES:
        embedded_samples = (model.receptive_field - 1 + config.segment_samples) * windows
        embedded = embedded_samples * model.residual_channels * FLOAT_BYTES

    # A folded layer computes with more numbers than it has parameters, and they have gradients too.
    cost = model_cost(model, config.audio.sample_rate)
    folded = cost.computed_macs_per_sample - cost.macs_per_sample
    return Memory(
        cost.parameters * (6 * FLOAT_BYTES + element_bytes) + 2 * folded * element_bytes,
        max(in_head, in_stack) + embedded,
    )
