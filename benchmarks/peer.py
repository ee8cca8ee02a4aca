"""r9y9/wavenet_vocoder's module from a checkout of it, at the sizes of one of our presets."""

import sys

import torch
from torch import Tensor, nn

from wavenet.config import ModelConfig

RATE = 1e-3  # of Adam, as its presets have it
DROPOUT = 0.0
# Samples of a window. Each is predicted from those before it in the window, and zeros stand for
# what lies before the window.
WINDOW = 8000


def module(checkout: str, m: ModelConfig) -> nn.Module:
    """Takes one-hot codes (batch, levels, time); returns logits for the sample after each."""
    sys.path.insert(0, checkout)
    from wavenet_vocoder.wavenet import WaveNet

    cycles = len(m.schedule) // m.dilation_cycle.bit_length()
    sizes = (
        m.levels,
        len(m.schedule),
        cycles,
        m.residual_channels,
        m.gate_channels,
        m.skip_channels,
        m.kernel_size,
        DROPOUT,
    )
    peer: nn.Module = WaveNet(*sizes, scalar_input=False)
    return peer


class Training:
    """As its presets train it: Adam, with neither gradient clipping nor an EMA of the weights."""

    def __init__(self, peer: nn.Module, levels: int, rate: float = RATE) -> None:
        self.peer, self.levels = peer, levels
        self.optimizer = torch.optim.Adam(peer.parameters(), lr=rate)

    def step(self, x: Tensor) -> float:
        """One step on codes (batch, time + 1). Returns the loss in nats."""
        logits = self.peer(one_hot(x[:, :-1], self.levels))  # (batch, levels, time)
        loss = nn.functional.cross_entropy(logits, x[:, 1:])
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.item()


def one_hot(x: Tensor, levels: int) -> Tensor:
    """Codes (batch, time) -> (batch, levels, time)."""
    return nn.functional.one_hot(x, levels).transpose(1, 2).float()
