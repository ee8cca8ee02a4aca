"""The small network of docs/dilated-convolutions.md, trained on a tone of 440 Hz."""

from math import log

import numpy as np
import torch

from wavenet.config import ModelConfig
from wavenet.engines import create_engine
from wavenet.glossary import Array
from wavenet.model.distributions.base import Sampling
from wavenet.model.reference import ReferenceWaveNet

RATE = 16000  # Hz


def trained_on_a_tone() -> tuple[list[float], Array, Array]:
    """Bits per sample of each step, the wav (time,) that is given, and what is made after it."""
    sizes = {"residual_channels": 16, "gate_channels": 32, "skip_channels": 32, "head_channels": 32}
    config = ModelConfig(dilations=(1, 2, 4, 8, 16, 32), **sizes)  # type: ignore[arg-type]
    # Several threads may add in another order the next time, and a picture is to come out the same.
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = ReferenceWaveNet(config)
    codes, field = model.distribution, config.receptive_field
    wav = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2000) / RATE)
    x = torch.from_numpy(codes.encode(wav))[None]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    bits = []
    for _ in range(60):
        loss = codes.loss(model(x[:, :-1]), x[:, field:])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        bits.append(loss.item() / log(2))
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    engine = create_engine("reference", config, weights)
    state, noise = engine.init_state(1), np.random.default_rng(0).random((1, 200))
    engine.prefill(state, x[:, :200].numpy())
    made = engine.generate(state, noise.astype(np.float32), Sampling())
    return bits, codes.decode(x[0, :200].numpy()), codes.decode(made[0])
