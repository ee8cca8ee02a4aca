"""What `learning.py` tries, one change at a time from its base: settings, or edits of a trainer."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from wavenet.model.network import WaveNet
from wavenet.training.trainer import Trainer


def scalar_input(trainer: Trainer) -> None:
    """A code is embedded as its value times one row; mu-law codes otherwise have a row each."""
    values = torch.linspace(-1, 1, trainer.model.distribution.n_inputs)

    class Ramp(nn.Module):
        def forward(self, table: Tensor) -> Tensor:
            return 3 * values[:, None] * table[:1]

    for model in (trainer.model, trainer.ema_network):
        parametrize.register_parametrization(model.embedding, "weight", Ramp(), unsafe=True)


def default_initialisation(trainer: Trainer) -> None:
    """What torch gives its convolutions, the embedding's included: uniform, by the fan-in."""
    torch.manual_seed(trainer.config.train.seed)
    with torch.no_grad():
        fan_in = 1
        for name, p in trainer.model.named_parameters():
            # A bias comes after its weight, and has the same fan-in.
            if p.dim() > 1:
                fan_in = p.shape[0] if name.startswith("embedding") else p[0].numel()
            nn.init.uniform_(p, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
    trainer.ema_network.load_state_dict(trainer.model.state_dict())


def unscaled_paths(trainer: Trainer) -> None:
    """Residual and skip paths start without their 1/sqrt(layers)."""
    with torch.no_grad():
        for name, p in trainer.model.named_parameters():
            if name.endswith(("residual.weight", "skip.weight")):
                p.mul_(math.sqrt(len(trainer.config.model.schedule)))
    trainer.ema_network.load_state_dict(trainer.model.state_dict())


class WeightNorm(torch.optim.AdamW):
    """AdamW on the length and the direction of every output's weights (Salimans and Kingma 2016).

    The model keeps its weights as they are; their lengths and directions live here.
    """

    def __init__(self, model: WaveNet, **options: Any) -> None:
        self.pairs = [
            (p, p.detach().clone(), self.length(p.detach()))
            for n, p in model.named_parameters()
            if p.dim() == 3
        ]
        others = [p for p in model.parameters() if p.dim() != 3]
        super().__init__([*others, *(t for _, v, g in self.pairs for t in (v, g))], **options)

    @staticmethod
    def length(v: Tensor) -> Tensor:
        norm: Tensor = v.flatten(1).norm(dim=1)
        return norm[:, None, None]  # (outputs, 1, 1)

    def step(self, closure: Any = None) -> Any:
        for p, v, g in self.pairs:
            assert p.grad is not None
            unit = v / self.length(v)
            along = (p.grad * unit).sum((1, 2), keepdim=True)
            g.grad, v.grad = along, (p.grad - along * unit) * g / self.length(v)
        super().step(closure)
        with torch.no_grad():
            for p, v, g in self.pairs:
                p.copy_(v * g / self.length(v))

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        for p, _, _ in self.pairs:
            p.grad = None


def weight_norm(trainer: Trainer) -> None:
    options = {k: trainer.optimizer.defaults[k] for k in ("lr", "betas", "weight_decay")}
    trainer.optimizer = WeightNorm(trainer.model, **options)


def dropout(probability: float) -> Callable[[Trainer], None]:
    """Dropout on the stack's input, and on its sum of skips."""

    def drop(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (nn.functional.dropout(inputs[0], probability), *inputs[1:])

    def change(trainer: Trainer) -> None:
        for part in (trainer.model.stack, trainer.model.hidden):
            part.register_forward_pre_hook(drop)

    return change


def noisy_input(probability: float) -> Callable[[Trainer], None]:
    """Each code of the input is one off with this probability; targets stay as recorded."""

    def change(trainer: Trainer) -> None:
        levels = trainer.model.distribution.levels

        def jitter(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            codes = inputs[0]  # (batch, time)
            moved = torch.rand(codes.shape) < probability
            sign = 2 * torch.randint(0, 2, codes.shape) - 1
            return ((codes + moved * sign).clamp(0, levels - 1), *inputs[1:])

        trainer.model.register_forward_pre_hook(jitter)

    return change


@dataclass(frozen=True)
class Change:
    """One difference from the base: settings, or what is done to the trainer."""

    settings: tuple[str, ...] = ()
    apply: Callable[[Trainer], None] | None = None


CHANGES = {
    "base": Change(),
    "learning rate 1e-3": Change(("train.learning_rate=1e-3",)),
    "learning rate 3e-3": Change(("train.learning_rate=3e-3",)),
    "learning rate 6e-3": Change(("train.learning_rate=6e-3",)),
    "learning rate 24e-3": Change(("train.learning_rate=24e-3",)),
    "constant learning rate": Change(("train.schedule=constant",)),
    "4 windows of 0.25 s": Change(("train.batch=4", "train.segment_seconds=0.25")),
    "4 windows of 0.5 s, half the steps": Change(("train.batch=4",)),
    "torch's own initialisation": Change(apply=default_initialisation),
    "paths start unscaled": Change(apply=unscaled_paths),
    "3 cycles, 30 layers": Change(("model.layers=30",)),
    "48 channels": Change(("model.residual_channels=48", "model.gate_channels=96")),
    "kernel of 3": Change(("model.kernel_size=3", "model.layers=18", "model.dilation_cycle=256")),
    "weight norm": Change(apply=weight_norm),
    "scalar input": Change(apply=scalar_input),
    "dropout 0.05": Change(apply=dropout(0.05)),
    "levels within 6 dB": Change(("train.augment_gain_db=6",)),
    "levels within 12 dB": Change(("train.augment_gain_db=12",)),
    "a fifth of the input one code off": Change(apply=noisy_input(0.2)),
    "mu-law 1024": Change(("model.levels=1024",)),
    "logistic mixture": Change(("model.output=logistic",)),
}
