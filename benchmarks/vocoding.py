"""How much faster than real time a vocoder is, and what its linear prediction costs of that.

    python -m benchmarks.vocoding [PRESET] [--seconds 4]

Audio of random frames is made as `wavenet vocode` makes it: one stream and eight, with one thread
and two, by the preset's network and by the same without linear prediction. They take turns; what is
printed are medians over the rounds, and the ratio is taken within each.
"""

import statistics
import time
from collections import defaultdict
from itertools import product

import numpy as np

import wavenet
from benchmarks.arguments import parser
from wavenet.config import loading
from wavenet.glossary import Array
from wavenet.system.machine import machine

ROUNDS = 5
STREAMS, THREADS = (1, 8), (1, 2)


def models(preset: str) -> dict[str, wavenet.Model]:
    """The preset's network with random weights, as it is and predicting audio itself."""
    made = {}
    for name, settings in (("as it is", {}), ("without", {"model.linear_prediction": 0})):
        config = loading.load(preset, settings)
        made[name] = wavenet.Model.from_network(wavenet.WaveNet(config), config=config)
    return made


def times_real_time(model: wavenet.Model, frames: list[Array], threads: int) -> float:
    seconds = sum(map(len, frames)) * model.config.model.frame_hop / model.sample_rate
    began = time.perf_counter()
    wavenet.vocode(model, frames, threads=threads)
    return seconds / (time.perf_counter() - began)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("preset", nargs="?", default="vocoder-small")
    arguments.add_argument("--seconds", type=float, default=4.0)
    options = arguments.parse_args()
    vocoders = models(options.preset)
    config = next(iter(vocoders.values())).config
    length = round(options.seconds * config.audio.sample_rate / config.model.frame_hop)
    rng = np.random.default_rng(0)
    frames = [rng.normal(-5, 2, (length, config.model.mel_bands)) for _ in range(max(STREAMS))]
    measured = defaultdict(list)
    for round_ in range(ROUNDS + 1):
        for streams, threads, (name, model) in product(STREAMS, THREADS, vocoders.items()):
            speed = times_real_time(model, frames[:streams], threads)
            # The first round warms up.
            if round_:
                measured[streams, threads, name].append(speed)
    print(f"{machine()}; {options.preset}; medians of {ROUNDS} rounds")
    print("streams  threads  x real time, all streams  of that without linear prediction")
    for streams, threads in product(STREAMS, THREADS):
        own, without = (measured[streams, threads, name] for name in vocoders)
        share = statistics.median(a / b for a, b in zip(own, without, strict=True))
        print(f"{streams:7}  {threads:7}  {statistics.median(own):24.1f}  {share:33.0%}")


if __name__ == "__main__":
    main()
