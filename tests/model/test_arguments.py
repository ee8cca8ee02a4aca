"""What networks and distributions are given and do not fit is refused by name, in one line."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import CONDITIONED, SMALL, arrays, network, some_codes, some_inputs
from wavenet.config import Config
from wavenet.errors import WavenetError
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.model.cost import receptive_field
from wavenet.model.distributions.base import Sampling
from wavenet.model.distributions.categorical import Categorical
from wavenet.model.distributions.mixture import GaussianMixture, LogisticMixture
from wavenet.model.network import WaveNet, WaveNetStack

NET, STACK, VOCODER = WaveNet(SMALL), WaveNetStack(SMALL), WaveNetStack(CONDITIONED["mel"])
FIELD = NET.receptive_field
X = some_codes(NET, 2, 20)
H = torch.randn(2, 10, 30)
PARAMS = torch.zeros(2, 5, 32)
ARRAY, CODES, NOISE = np.zeros((5, 32)), np.arange(5), np.full(5, 0.5)
FRAMES = Conditioning(torch.zeros(9, 3, 5), 0, 8)
WEIGHTS = arrays(NET)
D, G = Categorical(32), GaussianMixture(2)

WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "stack, time first": (
        lambda: STACK(H.permute(2, 0, 1)),
        r"`x` \(30, 2, 10\): must be of shape \(batch, 10, time\)",
    ),
    "stack, one axis": (lambda: STACK(H[0, 0]), r"`x` \(30,\): must be"),
    "stack, short": (
        lambda: STACK(H[..., : STACK.receptive_field - 1]),
        r"`x` \(2, 10, 10\): has fewer samples than",
    ),
    "stack, integers": (
        lambda: STACK(H.long()),
        "`x` of type Tensor of torch.int64: must hold floating",
    ),
    "stack, array": (lambda: STACK(H.numpy()), "`x` of type ndarray of float32: must be a tensor"),
    "stack, frames": (lambda: VOCODER(H, torch.zeros(9, 2, 5)), "`conditioning` of type Tensor"),
    "stack, frames' batch": (
        lambda: VOCODER(H, FRAMES),
        r"`conditioning.frames` \(9, 3, 5\): must be of shape \(frames, 2, 5\)",
    ),
    "network, one axis": (lambda: NET(X[0]), r"`x` \(31,\): must be of shape \(batch, time\)"),
    "network, short": (
        lambda: NET(X[:, : FIELD - 1]),
        r"`x` \(2, 10\): .* receptive field, 11; prepend",
    ),
    "network, floats": (
        lambda: NET(X.float()),
        "`x` of type Tensor of torch.float32: must be .* codes",
    ),
    "network, code 999": (lambda: NET(X + 968), "`x` 9.* must be codes from 0 to 31"),
    "network, negative": (lambda: NET(X - 40), "`x` -.*must be codes"),
    "network, list": (lambda: NET([[1]]), "`x` of type list"),
    "network, no conditions": (
        lambda: WaveNet(CONDITIONED["mel"])(X),
        "`conditioning_input` of type NoneType",
    ),
    "weights, missing": (
        lambda: WaveNet.from_arrays(SMALL, {}),
        "`arrays`: embedding.weight has shape missing, .* asks for",
    ),
    "weights, shape": (
        lambda: WaveNet.from_arrays(SMALL, WEIGHTS | {"hidden.bias": NOISE}),
        r"`arrays`: hidden.bias has shape \(5,\), .* \(7,\)",
    ),
    "weights, none": (lambda: WaveNet.from_arrays(SMALL, None), "`arrays` of type NoneType"),
    "config, number": (
        lambda: WaveNet(3),
        "`config` of type int: must be a ModelConfig, a Config, or",
    ),
    "config, stack": (lambda: WaveNetStack(None), "`config` of type NoneType"),
    "config, no preset": (lambda: WaveNet("tinny"), "tinny: no such preset; did you mean tiny?"),
    "encode": (lambda: D.encode("hello"), "`wav` of type str: must be an array of numbers"),
    "encode, NaN": (lambda: G.encode(np.array([0, np.nan])), "`wav`: holds NaN"),
    "encode, integers": (
        lambda: D.encode(np.array([1000, -1000], np.int16)),
        "`wav` of type ndarray of int16: must hold floats in -1 ... 1",
    ),
    "stack, checkpoint_every": (
        lambda: WaveNetStack(SMALL, checkpoint_every=-1),
        "`checkpoint_every` -1: must be 0",
    ),
    "stack, checkpoint_every 2.5": (
        lambda: WaveNetStack(SMALL, checkpoint_every=2.5),
        "`checkpoint_every` 2.5: must be an integer",
    ),
    "stack, seed": (lambda: WaveNetStack(SMALL, seed="a"), "`seed` a: must be an integer"),
    "network, seed": (lambda: WaveNet(SMALL, None), "`seed` None: must be an integer"),
    "encode, ragged": (lambda: G.encode([[0], [0, 1]]), "`wav` of type list"),
    "decode": (lambda: D.decode(np.array([3, 32])), "`x` 3 to 32: must be codes from 0 to 31"),
    "decode, floats": (
        lambda: G.decode(np.array([0.5])),
        "`x` of type ndarray of float64: must be an array of codes",
    ),
    "embed": (lambda: D.embed(X + 32, NET.embedding.weight), "must be codes from 0 to 31"),
    "embed_array": (lambda: D.embed_array(-CODES, WEIGHTS["embedding.weight"]), "`x` -4 to 0"),
    "bits_to_16bit": (lambda: D.bits_to_16bit(CODES / 2), "`x` of type ndarray of float64"),
    "loss, more codes": (lambda: D.loss(PARAMS, X), r"`x` \(2, 31\): must be of shape \(2, 5\)"),
    "loss, params": (
        lambda: G.loss(PARAMS, X[:, :5]),
        r"`params` \(2, 5, 32\): must be of shape \(batch, time, 6\)",
    ),
    "loss, swapped": (lambda: D.loss(X[:, :5], PARAMS), "`x` of type Tensor of torch.float32"),
    "loss, weights": (
        lambda: D.loss(PARAMS, X[:, :5], torch.ones(5)),
        r"`weights` \(5,\): must be of shape \(2, 5\)",
    ),
    "nats": (lambda: D.nats(ARRAY, CODES[:3]), r"`x` \(3,\): must be of shape \(5,\)"),
    "nats, params": (
        lambda: G.nats(ARRAY, CODES),
        r"`params` \(5, 32\): must be of shape \(time, 6\)",
    ),
    "draw, no noise": (lambda: D.draw(ARRAY, None, Sampling()), "`noise` of type NoneType"),
    "draw, noise": (
        lambda: G.draw(ARRAY[:, :6], NOISE, Sampling()),
        r"`noise` \(5,\): must be of shape \(5, 3\)",
    ),
    "draw, params": (
        lambda: D.draw(ARRAY[:, 1:], NOISE, Sampling()),
        r"`params` \(5, 31\): .* \(..., 32\)",
    ),
    "draw, sampling": (
        lambda: D.draw(ARRAY, NOISE, 0.9),
        "`sampling` of type float: must be of type Sampling",
    ),
    "temperature": (lambda: Sampling("hot"), "`temperature` hot: must be a number"),
    "top_k": (lambda: Sampling(top_k=2.5), "`top_k` 2.5: must be an integer"),
    "levels": (lambda: Categorical(1), "`levels` 1: must be 2 to"),
    "components": (lambda: LogisticMixture(0), "`components` 0: must be 1 to"),
    "kernels": (
        lambda: receptive_field([1, 2], [2]),
        "`kernel_size`: lists 1 kernels for 2 dilations",
    ),
    "dilations": (
        lambda: receptive_field(SMALL),
        "`dilations` of type ModelConfig: must be a list",
    ),
    "dilation": (
        lambda: receptive_field([1, 0]),
        "`dilations` 0: must be a list of integers, 1 or more",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused_by_name(case: str) -> None:
    call, message = WRONG[case]
    with pytest.raises(WavenetError, match=message) as e:
        call()
    assert "\n" not in str(e.value)
    # For whoever knows nothing of this program's errors.
    assert isinstance(e.value, ValueError) or case == "config, no preset"


def test_a_network_is_made_from_its_sizes_a_whole_config_or_a_presets_name() -> None:
    assert WaveNet("tiny").config == WaveNetStack("tiny").config
    assert WaveNet(Config(model=SMALL)).config == WaveNetStack(Config(model=SMALL)).config == SMALL


def test_codes_of_any_integer_type_are_taken() -> None:
    expected = NET(X)
    assert all(torch.equal(NET(X.to(kind)), expected) for kind in (torch.int32, torch.uint8))
    predicted = X[:, FIELD - 1 :]
    assert torch.equal(D.loss(expected, predicted.int()), D.loss(expected, predicted))


def test_no_windows_make_no_predictions() -> None:
    assert NET(X[:0]).shape == (0, 21, 32)


def test_the_range_of_codes_on_a_device_is_not_waited_for() -> None:
    """Reading it would fail on the meta device, and make a GPU's host wait."""
    table = NET.embedding.weight
    assert D.embed((X + 32).to("meta"), table.to("meta")).device.type == "meta"


def test_a_gradients_gradient_is_refused_and_not_wrong() -> None:
    h = H.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(STACK(h).square().sum(), h, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


@pytest.mark.slow
def test_an_exported_network_predicts_the_same() -> None:
    """Without machine code, which a graph cannot hold."""
    model = network(CONDITIONED["labels and mel"]).requires_grad_(False)
    x = some_codes(model, 2, 9)
    inputs = some_inputs(model.config, *x.shape)
    exported = torch.export.export(model, (x, inputs)).module()
    torch.testing.assert_close(exported(x, inputs), model(x, inputs), rtol=0, atol=1e-5)


COMPILED = """
import torch, wavenet
stack = wavenet.WaveNetStack("tiny")
x = torch.randn(2, stack.config.residual_channels, stack.receptive_field + 9)
skips = torch.compile(stack, backend="eager")(x)
skips.sum().backward()
assert torch.equal(skips, stack(x))
print(sum(p.grad is not None for p in stack.parameters()) == len(list(stack.parameters())))
"""


@pytest.mark.slow
def test_torch_compile_does_not_trace_the_kernels_when_they_run_for_the_first_time() -> None:
    run = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert run.stdout == "True\n", run.stderr
