"""The training loop: batch, forward, loss, backward, clip, step, EMA.

The same lines run on a CPU and on a GPU. All randomness is a pure function of (seed, step), so the
weights, their EMA, Adam's moments and the step restore a run exactly.
"""

import math
import statistics
import time
from collections.abc import Iterator
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from wavenet.arithmetic import ceil_div
from wavenet.config import TrainConfig
from wavenet.data.dataset import WindowDataset
from wavenet.data.loader import DeviceBatch, Prefetcher, to_device
from wavenet.data.tracks import Statistics
from wavenet.errors import TrainingError
from wavenet.model.checkpoint import Ancestor, Model, Training
from wavenet.model.conditioning.modules import NormalisingEncoder
from wavenet.model.network import WaveNet
from wavenet.model.pretrained import adapted_weights
from wavenet.system.device import PRECISIONS, pick_precision
from wavenet.training.distributed import SingleProcess

MOST_STEPS = 10**9  # that train.steps may be


def learning_rate(step: int, train: TrainConfig) -> float:
    """The learning rate of a step, counted from 0.

    Linear warm-up, then constant, or half a cosine down to a hundredth at the last step.
    """
    warm = min(1.0, (step + 1) / (train.warmup_steps + 1))
    if train.schedule == "constant":
        return train.learning_rate * warm
    after_warmup = max(0, step - train.warmup_steps)
    progress = min(1.0, after_warmup / max(1, train.steps - train.warmup_steps))
    return train.learning_rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


class Trainer:
    """A model in training: `train_step` and `evaluate` are what a session repeats.

    Of several processes each has one, and all are at the same step.
    """

    def __init__(
        self, dataset: WindowDataset, device: torch.device, processes: SingleProcess | None = None
    ) -> None:
        self.dataset = dataset
        self.corpus = dataset.corpus
        self.config = config = dataset.corpus.config
        self.device = device
        self.processes = processes or SingleProcess()
        self.precision = pick_precision(config.train.precision, device)
        self.batches = Prefetcher(self.processes.shard(dataset.batch), config, device)
        self.model = WaveNet(
            config.model,
            config.train.seed,
            checkpoint_every=config.train.checkpoint_layers,
            compiled=config.train.compile,
        )
        if "features" in config.model.conditioning:
            assert self.model.conditioner is not None
            encoder = self.model.conditioner.get_submodule("features")
            assert isinstance(encoder, NormalisingEncoder)
            encoder.normalise(*dataset.corpus.features_statistics())
        self.model.to(device)
        self.network = self.processes.wrap_ddp(self.model)
        # With the EMA of the weights: what is evaluated and generated with.
        self.ema_network = deepcopy(self.model)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=config.train.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.train.weight_decay,
            # One kernel for all parameters, where torch has it.
            fused=device.type in ("cpu", "cuda"),
        )
        # The gradients of fp16 would underflow without a scale.
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        # Steps whose scaled gradients overflowed: they lowered the scale and moved no weight.
        self.skipped = 0
        self.step = 0
        # A session may stop before the schedule ends.
        self.stop_at: int | None = None
        # Whether `train.steps` is an estimate from `train.minutes`, made again as training goes on.
        self.estimates_steps = False
        self.seconds = 0.0
        self.validation_bits: float | None = None
        self.best_bits: float | None = None
        self.best_step: int | None = None
        self.ancestry: tuple[Ancestor, ...] = ()
        # Of the frames that it is trained on.
        self.statistics = Statistics()

    def begin_from(self, base: Model, ancestry: tuple[Ancestor, ...]) -> None:
        """Take the weights of a trained model, before the first step. `ancestry` is with it."""
        fresh = {name: weight.cpu().numpy() for name, weight in self.model.state_dict().items()}
        adapted = adapted_weights(base, self.config.model, fresh)
        tensors = {name: torch.from_numpy(array) for name, array in adapted.items()}
        self.model.load_state_dict(tensors)
        self.ema_network.load_state_dict(tensors)
        self.ancestry = ancestry

    def steps_in_minutes(self, seconds_per_step: float) -> int:
        """After how many steps training has taken `train.minutes`, if this speed lasts."""
        left = max(0.0, 60 * self.config.train.minutes - self.seconds)
        # Coarse clocks take short steps for none.
        return min(MOST_STEPS, max(1, self.step + round(left / max(1e-6, seconds_per_step))))

    def estimate_steps(self, steps: int) -> None:
        """Let the schedule end after so many steps, until that is estimated again."""
        self.config = replace(self.config, train=replace(self.config.train, steps=steps))
        self.corpus = replace(self.corpus, config=self.config)
        self.estimates_steps = True

    @property
    def last_step(self) -> int:
        """The step that this session ends with, if nothing ends it before."""
        steps = self.config.train.steps
        return min(steps, self.stop_at or steps)

    @property
    def out_of_patience(self) -> bool:
        """Whether to end early: the last `train.patience` evaluations brought nothing better."""
        train = self.config.train
        if not train.patience or self.best_step is None or self.step >= train.steps:
            return False
        return self.step - self.best_step >= train.patience * train.evaluate_every

    def train_step(self) -> float:
        """One optimisation step. Returns the batch's loss in bits per sample.

        Raises TrainingError, and leaves the weights as they were, when the loss or the gradient is
        not finite.
        """
        started = time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.config.train)
        loss = self._backward()
        self.scaler.unscale_(self.optimizer)
        norm = clip_grad_norm_(self.model.parameters(), self.config.train.clip_norm)
        nats, gradient_norm = self.processes.all_reduce_loss(loss, norm)
        # Without fp16 it is 1.
        scale = self.scaler.get_scale()
        if not math.isfinite(nats):
            raise TrainingError("", f"the loss is not finite at step {self.step}")
        # fp16 overflows now and then: the scaler skips the step and lowers its scale.
        if not math.isfinite(gradient_norm) and scale <= 1:
            raise TrainingError("", f"the gradient is not finite at step {self.step}")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.skipped += self.scaler.get_scale() < scale
        self._update_ema()
        self.step += 1
        self.seconds += time.monotonic() - started
        return nats / math.log(2)

    def time_step(self) -> float:
        """Seconds of one real step's forward and backward pass, the median of three.

        Leaves the training state as it was.
        """
        seconds = []
        for _ in range(3):
            started = time.monotonic()
            # `item` waits for the device.
            self._backward().item()
            seconds.append(time.monotonic() - started)
        self.optimizer.zero_grad(set_to_none=True)
        return statistics.median(seconds)

    def evaluate(self) -> None:
        """Score the EMA of the weights on the held-out audio."""
        self.validation_bits = bits = self._bits_per_sample()
        if bits is not None and (self.best_bits is None or bits < self.best_bits):
            self.best_bits, self.best_step = bits, self.step

    @torch.no_grad()
    def _bits_per_sample(self) -> float | None:
        """Mean negative log2-likelihood over all held-out samples; None when there are none.

        Each is predicted from its exact context, or with `train.input_noise` from a noisy one. The
        unit is bits per sample: log2(levels) means that nothing is known, 0 that everything is.
        """
        model, nats, samples = self.ema_network, 0.0, 0.0
        for on_host in self.processes.shard(self.dataset.validation_batches)():
            batch = to_device(self.config, on_host, self.device)
            params = model(batch.read[:, :-1], batch.conditioning_input)
            predicted = batch.x[:, model.receptive_field :]
            nats += float(model.distribution.loss(params, predicted, batch.loss_mask))
            samples += float(batch.loss_mask.sum())
        nats, samples = self.processes.all_reduce_sum(nats, samples)
        return nats / samples / math.log(2) if samples else None

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
        *parts, last = batch.parts(ceil_div(len(batch.x), self.config.train.accumulate))
        # The last backward pass alone averages the gradients over the ranks.
        network = self.network
        with network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext():
            for part in parts:
                yield self._loss(part)
        yield self._loss(last)

    def _loss(self, part: DeviceBatch) -> torch.Tensor:
        with torch.autocast(
            self.device.type, PRECISIONS[self.precision], enabled=self.precision != "fp32"
        ):
            x = part.read[:, :-1]  # (windows, receptive_field + segment - 1)
            params = self.network(x, part.conditioning_input)  # (windows, segment, n_params)
        return self.model.distribution.loss(
            params, part.x[:, self.model.receptive_field :], part.loss_mask
        )

    @torch.no_grad()
    def _update_ema(self) -> None:
        """Move the EMA towards the new weights, in place.

        The first step replaces the random start. The decay grows with the steps, so that the EMA of
        a short run is not that start.
        """
        n = self.step
        decay = min(self.config.train.ema_decay, (1 + n) / (10 + n)) if n else 0.0
        averages, weights = self.ema_network.parameters(), self.model.parameters()
        torch._foreach_lerp_(tuple(averages), tuple(weights), 1 - decay)

    # --- state -----------------------------------------------------------------------------------

    def checkpoint(self) -> Model:
        """Everything that is needed to go on as if training had never been interrupted."""
        arrays = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        arrays |= {f"average.{k}": v for k, v in self.ema_network.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            if moments := self.optimizer.state[parameter]:
                arrays[f"adam.mean.{name}"] = moments["exp_avg"]
                arrays[f"adam.square.{name}"] = moments["exp_avg_sq"]
        training = Training(
            step=self.step,
            seconds=round(self.seconds, 3),
            validation_bits=self.validation_bits,
            best_bits=self.best_bits,
            best_step=self.best_step,
            folder=str(self.corpus.index.folder.resolve()),
            paths=self.corpus.index.selection.paths,
            fingerprint=self.corpus.fingerprint,
            decoding=self.corpus.index.version,
            torch=torch.__version__,
            threads=torch.get_num_threads(),
            precision=self.precision,
            skipped=self.skipped,
            loss_scale=self.scaler.get_scale() if self.scaler.is_enabled() else None,
            loss_scale_age=self.scaler.state_dict().get("_growth_tracker", 0),
            ancestry=self.ancestry,
            **self.statistics._asdict(),
        )
        on_host = {k: v.detach().cpu().contiguous().numpy() for k, v in arrays.items()}
        return Model(self.config, on_host, training)

    def restore(self, checkpoint: Model) -> None:
        """Go on from a checkpoint that was loaded with `resume=True`."""

        def tensors(part: str) -> dict[str, torch.Tensor]:
            arrays = checkpoint.part(part).items()
            return {k: torch.from_numpy(v).to(self.device, copy=True) for k, v in arrays}

        self.model.load_state_dict(tensors("model"))
        self.ema_network.load_state_dict(tensors("average"))
        means, squares = tensors("adam.mean"), tensors("adam.square")
        # The fused optimizer counts on the device, the other one on the CPU.
        counter = self.device if self.optimizer.defaults["fused"] else None
        training = checkpoint.training
        for name, parameter in self.model.named_parameters():
            if name in means:
                # Adam has not counted the steps that fp16's scaler skipped.
                steps = torch.tensor(float(training.step - training.skipped), device=counter)
                moments = {"exp_avg": means[name], "exp_avg_sq": squares[name]}
                self.optimizer.state[parameter] = {"step": steps, **moments}
        if self.scaler.is_enabled() and training.loss_scale is not None:
            state = {"scale": training.loss_scale, "_growth_tracker": training.loss_scale_age}
            self.scaler.load_state_dict(self.scaler.state_dict() | state)
        self.step, self.seconds, self.skipped = training.step, training.seconds, training.skipped
        self.validation_bits = training.validation_bits
        self.best_bits, self.best_step = training.best_bits, training.best_step
        self.ancestry = training.ancestry
        self.statistics = Statistics(training.mel, training.pitch, training.loudness)
