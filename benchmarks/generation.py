"""Samples per second of every engine, beside an eager PyTorch step with a cache, one thread, one stream.

    python benchmarks/generation.py [PRESET ...]

Rounds of all contestants alternate, so that a change in the machine's speed falls on all; medians are printed, and ratios to
the eager step are taken within each round.
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from machine import machine

from wavenet import config
from wavenet.config import ModelConfig
from wavenet.distributions import Sampling
from wavenet.engines import ENGINES, pick
from wavenet.model import WaveNet
from wavenet.sampler import uniforms

ROUNDS = 7
SECONDS = 0.7  # of each contestant in each round


class Eager:
    """The usual way: per layer a queue of past inputs, per sample a few small PyTorch operations a layer."""

    def __init__(self, model: WaveNet) -> None:
        self.model = model
        self.matrices = [(layer.dilated.weight.permute(2, 0, 1).contiguous(), layer) for layer in model.stack.layers]
        self.queues = [torch.zeros(layer.dilated.lookback + 1, layer.dilated.in_channels) for layer in model.stack.layers]
        self.time = 0
        self.last = model.distribution.silence

    @torch.no_grad()
    def run(self, noise: np.ndarray) -> None:
        for u in noise[0]:
            x = self.model.embedding.weight[self.last]
            total = torch.zeros(self.model.hidden.in_channels)
            for (taps, layer), queue in zip(self.matrices, self.queues, strict=True):
                queue[self.time % len(queue)] = x
                h = torch.mv(taps[-1], x) + layer.dilated.bias
                for k in range(len(taps) - 1):
                    back = (len(taps) - 1 - k) * layer.dilated.dilation[0]
                    h += torch.mv(taps[k], queue[(self.time - back) % len(queue)])
                filtered, gate = h.chunk(2)
                z = torch.tanh(filtered) * torch.sigmoid(gate)
                total += torch.addmv(layer.skip.bias, layer.skip.weight[..., 0], z)
                if layer.residual is not None:
                    x = x + torch.addmv(layer.residual.bias, layer.residual.weight[..., 0], z)
            hidden = torch.addmv(self.model.hidden.bias, self.model.hidden.weight[..., 0], total.relu()).relu()
            p = torch.addmv(self.model.output.bias, self.model.output.weight[..., 0], hidden).softmax(0)
            self.last = min(int(torch.searchsorted(p.cumsum(0), float(u))), len(p) - 1)
            self.time += 1


def contestants(model: ModelConfig) -> dict[str, Callable[[np.ndarray], object]]:
    network = WaveNet(model).eval()
    weights = {k: v.numpy() for k, v in network.state_dict().items()}
    runs: dict[str, Callable[[np.ndarray], object]] = {"eager PyTorch": Eager(network).run}
    for name in ENGINES:
        engine = pick(name, model, weights)
        state = engine.init_state(1)
        runs[name] = lambda noise, e=engine, s=state: e.generate(s, noise, Sampling())
    return runs


def speed(run: Callable[[np.ndarray], object]) -> float:
    made, started, chunk = 0, time.perf_counter(), 16
    while (passed := time.perf_counter() - started) < SECONDS:
        run(uniforms(0, 0, made, chunk)[None])
        made += chunk
        chunk = min(2048, chunk * 2)
    return made / passed


def main() -> None:
    torch.set_num_threads(1)
    print(f"{machine()}; one thread, one stream, medians of {ROUNDS} rounds")
    print(f"{'preset':14} {'engine':14} {'samples/s':>10} {'x real time':>12} {'x eager':>9}")
    for name in sys.argv[1:] or ["tiny", "small", "paper", "r9y9-mulaw256", "nv-wavenet"]:
        preset = config.load(name)
        runs = contestants(preset.model)
        for run in runs.values():
            run(uniforms(0, 0, 0, 4)[None])  # compile
        rounds = [{who: speed(run) for who, run in runs.items()} for _ in range(ROUNDS)]
        for who in runs:
            median = statistics.median(r[who] for r in rounds)
            ratio = statistics.median(r[who] / r["eager PyTorch"] for r in rounds)
            print(f"{name:14} {who:14} {median:>10,.0f} {median / preset.audio.sample_rate:>12.2f} {ratio:>9.1f}", flush=True)


if __name__ == "__main__":
    main()
