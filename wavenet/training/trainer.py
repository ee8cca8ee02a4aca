"""The training loop: batch, forward, loss, backward, clip, step, EMA.

The same lines run on a CPU and on a GPU. All randomness is a pure function of (seed, step), so the
weights, their EMA, Adam's moments and the step restore a run exactly.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel

from wavenet.config import Config, TrainConfig
from wavenet.data.dataset import Corpus
from wavenet.data.loader import DeviceBatch, Prefetcher, to_device
from wavenet.errors import TrainingError
from wavenet.model.checkpoint import Checkpoint, Training
from wavenet.model.network import WaveNet
from wavenet.system.device import PRECISIONS, check_compiler, pick_precision
from wavenet.training.distributed import SingleProcess
from wavenet.training.validation import bits_per_sample

TensorList: TypeAlias = tuple[torch.Tensor, ...] | list[torch.Tensor]


def learning_rate(step: int, train: TrainConfig) -> float:
    """The learning rate of a step, counted from 0.

    Linear warm-up, then constant, or half a cosine down to a hundredth at the last step.
    """
    warm = min(1.0, (step + 1) / (train.warmup_steps + 1))
    if train.schedule == "constant":
        return train.learning_rate * warm
    progress = min(
        1.0, max(0, step - train.warmup_steps) / max(1, train.steps - train.warmup_steps)
    )
    return train.learning_rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


class Trainer:
    """A model in training: `train_step` once, or `fit` up to a step.

    Of several processes each has one, and all are at the same step.
    """

    def __init__(
        self,
        config: Config,
        corpus: Corpus,
        device: torch.device,
        processes: SingleProcess | None = None,
    ) -> None:
        self.config = config
        self.corpus = corpus
        self.device = device
        self.processes = processes or SingleProcess()
        self.precision = pick_precision(config.train.precision, device)
        self.batches = Prefetcher(self.processes.shard(corpus.batch), config, device)
        self.model = WaveNet(config.model, config.train.seed).to(device)
        self.model.stack.checkpoint_every = config.train.checkpoint_layers
        self.model.stack.compiled = config.train.compile
        if config.train.compile:
            check_compiler(device)
        self.network = self.processes.wrap_ddp(self.model)
        self.ema = AveragedModel(self.model, multi_avg_fn=self._update_ema)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=config.train.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.train.weight_decay,
        )
        # The gradients of fp16 would underflow without a scale.
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        # Steps whose scaled gradients overflowed: they lowered the scale and moved no weight.
        self.skipped = 0
        self.step = 0
        self.seconds = 0.0
        self.validation_bits: float | None = None
        self.best: tuple[float, int] | None = None  # bits per sample, step

    @property
    def ema_network(self) -> WaveNet:
        """The network with the EMA of the weights: what is evaluated and generated with."""
        model = self.ema.module
        assert isinstance(model, WaveNet)
        return model

    @property
    def out_of_patience(self) -> bool:
        """Whether to end early: the last `train.patience` evaluations brought nothing better."""
        train = self.config.train
        if not train.patience or self.best is None or self.step >= train.steps:
            return False
        return self.step - self.best[1] >= train.patience * train.evaluate_every

    @property
    def best_step(self) -> int | None:
        return None if self.best is None else self.best[1]

    def fit(
        self,
        until: int,
        *,
        on_step: Callable[[float], None],
        on_checkpoint: Callable[[bool], None],
        stop: Callable[[], bool],
        deadline_reached: Callable[[], bool] = lambda: False,
    ) -> None:
        """Train up to step `until`, until `deadline_reached`, or until `out_of_patience`.

        Calls `on_step(bits)` after each step, and `on_checkpoint(evaluated)` when a checkpoint is
        due. `stop` and `deadline_reached` are asked between steps. After `stop` a checkpoint is due
        and `fit` returns; after `deadline_reached` an evaluation and a checkpoint are due, as at
        the last step. Raises TrainingError when the loss or the gradient is no longer finite.
        """
        train = self.config.train
        saved = time.monotonic()
        while self.step < until:
            started = time.monotonic()
            bits = self.train_step()
            self.seconds += time.monotonic() - started
            on_step(bits)
            over = self.step == until or deadline_reached()
            evaluated = over or self.step % train.evaluate_every == 0
            if evaluated:
                self.evaluate()
            if stop():
                on_checkpoint(evaluated)
                return
            if evaluated or time.monotonic() - saved > 60 * train.checkpoint_minutes:
                on_checkpoint(evaluated)
                saved = time.monotonic()
            if over or (evaluated and self.out_of_patience):
                return

    def train_step(self) -> float:
        """One optimisation step. Returns the batch's loss in bits per sample.

        Raises TrainingError, and leaves the weights as they were, when the loss or the gradient is
        not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.config.train)
        loss = self._backward()
        self.scaler.unscale_(self.optimizer)
        norm = clip_grad_norm_(self.model.parameters(), self.config.train.clip_norm)
        nats, gradient_norm = self.processes.all_reduce_loss(loss, norm)
        self._require_finite(nats, gradient_norm)
        self.scaler.step(self.optimizer)
        scale = self.scaler.get_scale()
        self.scaler.update()
        self.skipped += self.scaler.get_scale() < scale
        self.ema.update_parameters(self.model)
        self.step += 1
        return nats / math.log(2)

    def time_step(self) -> float:
        """Seconds of one real step's forward and backward pass, the best of three.

        Leaves the training state as it was.
        """
        best = math.inf
        for _ in range(3):
            started = time.monotonic()
            # `item` waits for the device.
            self._backward().item()
            best = min(best, time.monotonic() - started)
        self.optimizer.zero_grad(set_to_none=True)
        return best

    def evaluate(self) -> None:
        """Score the EMA of the weights on the held-out audio."""
        bits = bits_per_sample(self.ema_network, self._held_out(), self.processes.all_reduce_sum)
        self.validation_bits = bits
        if bits is not None and (self.best is None or bits < self.best[0]):
            self.best = (bits, self.step)

    def _held_out(self) -> Iterator[DeviceBatch]:
        batches = self.processes.shard(self.corpus.validation_batches)()
        return (to_device(self.config, batch, self.device) for batch in batches)

    def _backward(self) -> torch.Tensor:
        """Fill the gradients, one part of the batch after the other.

        Returns the loss (), in nats per sample.
        """
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for part in self._losses():
            self.scaler.scale(part).backward()  # type: ignore[no-untyped-call]
            total += part.detach()
        return total

    def _losses(self) -> Iterator[torch.Tensor]:
        """The losses () of the parts that `train.accumulate` cuts the batch into, nats per sample.

        They are parts of one mean, over all samples in the loss mask of the global batch: their
        sum, averaged over the ranks, is the same for every number of parts and ranks.
        """
        batch = self.batches.get(self.step)
        if batch.global_count:
            # DistributedDataParallel divides by the world size too.
            samples: float | torch.Tensor = batch.global_count / self.processes.world_size
        else:
            samples = batch.loss_mask.sum()
        batch = batch._replace(loss_mask=batch.loss_mask / samples)
        *parts, last = batch.parts(-(-len(batch.x) // self.config.train.accumulate))
        with self.processes.no_sync(self.network):
            for part in parts:
                yield self._loss(part)
        yield self._loss(last)

    def _loss(self, part: DeviceBatch) -> torch.Tensor:
        with torch.autocast(
            self.device.type, PRECISIONS[self.precision], enabled=self.precision != "fp32"
        ):
            x = part.x[:, :-1]  # (windows, receptive_field + segment - 1)
            params = self.network(x, part.conditioning_input)  # (windows, segment, n_params)
        return self.model.distribution.loss(
            params, part.x[:, self.model.receptive_field :], part.loss_mask
        )

    def _require_finite(self, loss: float, gradient: float) -> None:
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is not finite at step {self.step}")
        if math.isfinite(gradient) or (self.scaler.is_enabled() and self.scaler.get_scale() > 1):
            # fp16 overflows now and then: the scaler skips the step and lowers its scale.
            return
        raise TrainingError(f"the gradient is not finite at step {self.step}")

    def _update_ema(
        self, ema_params: TensorList, params: TensorList, n_averaged: torch.Tensor | int
    ) -> None:
        """Move the EMA towards the new weights, in place.

        The decay grows with the steps, so that the EMA of a short run is not its random start.
        """
        n = int(n_averaged)
        decay = min(self.config.train.ema_decay, (1 + n) / (10 + n))
        torch._foreach_lerp_(ema_params, params, 1 - decay)

    # --- state -----------------------------------------------------------------------------------

    def checkpoint(self) -> Checkpoint:
        """Everything that is needed to go on as if training had never been interrupted."""
        arrays = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        arrays |= {f"average.{k}": v for k, v in self.ema_network.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            moments = self.optimizer.state[parameter]
            if moments:
                arrays[f"adam.mean.{name}"] = moments["exp_avg"]
                arrays[f"adam.square.{name}"] = moments["exp_avg_sq"]
        best_bits, best_step = self.best or (None, None)
        training = Training(
            step=self.step,
            seconds=round(self.seconds, 3),
            validation_bits=self.validation_bits,
            best_bits=best_bits,
            best_step=best_step,
            folder=str(self.corpus.index.folder.resolve()),
            fingerprint=self.corpus.fingerprint,
            torch=torch.__version__,
            threads=torch.get_num_threads(),
            precision=self.precision,
            skipped=self.skipped,
            loss_scale=self.scaler.get_scale() if self.scaler.is_enabled() else None,
            loss_scale_age=self.scaler.state_dict().get("_growth_tracker", 0),
        )
        return Checkpoint(
            self.config,
            {k: v.detach().cpu().contiguous().numpy() for k, v in arrays.items()},
            training,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint that was loaded with `resume=True`."""

        def tensors(part: str) -> dict[str, torch.Tensor]:
            return {
                k: torch.from_numpy(v).to(self.device, copy=True)
                for k, v in checkpoint.part(part).items()
            }

        self.model.load_state_dict(tensors("model"))
        self.ema_network.load_state_dict(tensors("average"))
        means, squares = tensors("adam.mean"), tensors("adam.square")
        training = checkpoint.training
        # Adam has not counted the steps that fp16's scaler skipped.
        adam_steps = float(training.step - training.skipped)
        for name, parameter in self.model.named_parameters():
            if name in means:
                self.optimizer.state[parameter] = {
                    "step": torch.tensor(adam_steps),
                    "exp_avg": means[name],
                    "exp_avg_sq": squares[name],
                }
        self.ema.n_averaged.fill_(training.step)
        if self.scaler.is_enabled() and training.loss_scale is not None:
            state = {"scale": training.loss_scale, "_growth_tracker": training.loss_scale_age}
            self.scaler.load_state_dict(self.scaler.state_dict() | state)
        self.skipped = training.skipped
        self.step = training.step
        self.seconds = training.seconds
        self.validation_bits = training.validation_bits
        self.best = None
        if training.best_bits is not None and training.best_step is not None:
            self.best = (training.best_bits, training.best_step)
