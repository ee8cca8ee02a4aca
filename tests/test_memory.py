"""The memory estimate against what processes really use."""

import subprocess
import sys
from dataclasses import replace

import pytest

from wavenet.config import loading
from wavenet.training.memory import estimate

STEP = """
import re, sys, numpy as np, torch, torch._dynamo
from wavenet.config import loading
from wavenet.data.dataset import Batch
from wavenet.training.trainer import Trainer

torch.set_num_threads(1)
c = loading.load("small", sys.argv[1:])
x = np.zeros((c.train.batch, c.model.receptive_field + c.segment_samples), np.int64)

class Corpus:
    def batch(self, step):
        return Batch(x, np.ones((len(x), c.segment_samples), np.float32))

def status(key):
    return 1024 * int(re.search(key + r":\\s+(\\d+)", open("/proc/self/status").read())[1])

# Forget the peak of importing.
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
trainer = Trainer(c, Corpus(), torch.device("cpu"))
trainer.train_step()
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measured in /proc")
@pytest.mark.parametrize(
    "settings",
    [
        ["train.batch=4"],
        ["train.batch=8", "train.checkpoint_layers=5"],
        ["train.batch=9", "train.accumulate=3"],
        ["train.batch=4", "model.output=logistic", "model.mixtures=30"],
        ["train.batch=4", "model.output=gaussian"],
        [
            "train.batch=4",
            "model.layer=bottleneck",
            "model.smooth=true",
            "model.context=pyramid",
            "model.pyramid_window=3000",
        ],
    ],
)
def test_a_step_takes_what_was_estimated(settings: list[str]) -> None:
    command = [sys.executable, "-c", STEP, *settings]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    measured = int(result.stdout)
    expected = estimate(loading.load("small", settings), 4, blocks=True).total
    assert 0.75 * measured < expected < 1.25 * measured, (
        f"measured {measured / 1e6:.0f} MB, estimated {expected / 1e6:.0f} MB"
    )


def test_what_saves_memory_is_estimated_to_save_it() -> None:
    base = loading.load("paper")

    def total(element_bytes: int = 4, **train: int) -> int:
        config = replace(base, train=replace(base.train, **train))
        return estimate(config, element_bytes, blocks=True).total

    assert total(checkpoint_layers=5) < total() / 2
    assert total(accumulate=2) < 0.6 * total()
    assert total(element_bytes=2) < 0.7 * total()
    assert total(batch=8) > 1.9 * total(batch=4)
