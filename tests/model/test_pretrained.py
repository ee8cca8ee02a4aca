"""A network that begins with the weights of a trained one predicts what that one predicts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers import (
    BOTH,
    EVERYTHING,
    FOLLOWING,
    SMALL,
    VOCODER,
    VOICES,
    arrays,
    as_checkpoint,
    network,
    some_codes,
    some_inputs,
)
from wavenet.config import ModelConfig
from wavenet.model.conditioning.segments import PLACES
from wavenet.model.network import WaveNet
from wavenet.model.pretrained import adapted_weights

LABELLED_VOCODER = replace(VOCODER, label_channels=2, labels=("ada", "bob"))
NEW_FRONT_ENDS = {
    "labels": (SMALL, VOICES),
    "mel": (SMALL, VOCODER),
    "labels and mel": (SMALL, BOTH),
    "labels besides mel": (VOCODER, LABELLED_VOCODER),
    "mel besides labels": (
        replace(BOTH, mel_bands=0, conditioning=()),
        replace(BOTH, frame_context=1),
    ),
    **{kind: (SMALL, config) for kind, config in FOLLOWING.items()},
    **{
        f"{kind} besides mel and labels": (
            LABELLED_VOCODER,
            replace(
                LABELLED_VOCODER,
                conditioning=("mel", "label", *config.conditioning),
                features_width=config.features_width,
                segment_labels=config.segment_labels,
            ),
        )
        for kind, config in FOLLOWING.items()
        if kind != "everything"
    },
}


def begun(base: WaveNet, config: ModelConfig, seed: int = 5) -> WaveNet:
    fresh = arrays(WaveNet(config, seed))
    return WaveNet.from_arrays(config, adapted_weights(as_checkpoint(base), config, fresh))


@pytest.mark.parametrize("kind", NEW_FRONT_ENDS)
def test_new_front_ends_change_nothing_at_first(kind: str) -> None:
    before, now = NEW_FRONT_ENDS[kind]
    base = network(before)
    model = begun(base, now)
    codes = some_codes(base, 2, 40)
    inputs = some_inputs(now, 2, codes.shape[1])
    torch.testing.assert_close(model(codes, inputs), base(codes, inputs), rtol=1e-5, atol=1e-5)
    # They can learn: the projections' gradients are not 0.
    model.train()(codes, inputs).square().sum().backward()
    gradient = model.stack.layers[0].condition.weight.grad
    assert model.conditioner is not None
    features = model.conditioner(inputs).frames
    # A rectifier may let nothing through.
    is_alive = features.flatten(0, 1).any(dim=0)
    assert torch.equal(gradient.abs().sum(dim=0) > 0, is_alive)
    assert is_alive.float().mean() > 0.6


def test_known_labels_keep_their_vectors_and_new_ones_begin_at_the_mean() -> None:
    base = network(VOICES)
    model = begun(base, replace(VOICES, labels=("bob", "zoe")))
    vectors = arrays(base)["conditioner.label.weight"]
    bob, zoe = arrays(model)["conditioner.label.weight"]
    np.testing.assert_array_equal(bob, vectors[VOICES.labels.index("bob")])
    np.testing.assert_allclose(zoe, vectors.mean(axis=0), rtol=1e-6)


def test_known_labels_of_segments_keep_their_weights_and_new_ones_begin_at_the_mean() -> None:
    base = network(EVERYTHING)
    model = begun(base, replace(EVERYTHING, segment_labels=("three", "two", "zero")))
    before = arrays(base)["conditioner.segments.weight"]
    now = arrays(model)["conditioner.segments.weight"]
    # Of silence, of every label and of lengths.
    silence, one, two, lengths = np.split(before, PLACES * np.arange(1, 4), axis=1)
    expected = [silence, (one + two) / 2, two, (one + two) / 2, lengths]
    np.testing.assert_allclose(now, np.concatenate(expected, axis=1), rtol=1e-5)


@pytest.mark.parametrize("config", [BOTH, EVERYTHING])
def test_the_same_network_has_the_same_weights(config: ModelConfig) -> None:
    base = network(config)
    expected = arrays(base)
    for name, array in arrays(begun(base, config)).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
