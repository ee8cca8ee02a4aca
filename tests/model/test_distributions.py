import numpy as np
import pytest
import torch

from wavenet.audio import quantization
from wavenet.errors import UsageError
from wavenet.model.distributions.base import Sampling, noise_columns
from wavenet.model.distributions.categorical import Categorical
from wavenet.model.distributions.mixture import GaussianMixture

D = Categorical(16)
EVEN = (np.arange(1000) + 0.5) / 1000


def _logits(p: list[float]) -> np.ndarray:  # type: ignore[type-arg]
    return np.log(np.array(p + [1e-30] * (16 - len(p))))


def test_draws_follow_the_predicted_probabilities() -> None:
    p = [0.5, 0.2, 0.3]
    drawn = D.draw(np.tile(_logits(p), (1000, 1)), EVEN, Sampling())
    assert np.bincount(drawn).tolist() == [500, 200, 300]


def test_temperature_sharpens_and_zero_takes_the_likeliest() -> None:
    logits = np.tile(_logits([0.4, 0.6]), (1000, 1))
    sharpened = D.draw(logits, EVEN, Sampling(temperature=0.5))
    assert (sharpened == 1).mean() == pytest.approx(0.36 / 0.52, abs=2e-3)
    assert (D.draw(logits, EVEN, Sampling(temperature=0)) == 1).all()
    assert D.draw(np.zeros((1, 16)), np.array([0.9]), Sampling(temperature=0)) == [0]


def test_top_k_keeps_the_likeliest_and_breaks_ties_downwards() -> None:
    logits = np.tile(_logits([0.1, 0.3, 0.3, 0.3]), (1000, 1))
    assert set(D.draw(logits, EVEN, Sampling(top_k=2))) == {1, 2}


def test_top_p_keeps_the_fewest_that_hold_it() -> None:
    logits = np.tile(_logits([0.1, 0.5, 0.25, 0.15]), (1000, 1))
    assert set(D.draw(logits, EVEN, Sampling(top_p=0.45))) == {1}
    assert set(D.draw(logits, EVEN, Sampling(top_p=0.55))) == {1, 2}
    assert set(D.draw(logits, EVEN, Sampling(top_p=0.99))) == {0, 1, 2, 3}


def test_loss_leaves_padding_out() -> None:
    params = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    x = torch.arange(10).reshape(2, 5)
    loss_mask = torch.ones(2, 5)
    loss_mask[1, :3] = 0
    expected = D.loss(params[:1], x[:1]) * 5 + D.loss(params[1:, 3:], x[1:, 3:]) * 2
    assert torch.allclose(D.loss(params, x, loss_mask), expected)


@pytest.mark.parametrize(
    "bad",
    [{"temperature": -1}, {"top_k": -1}, {"top_p": 0}, {"top_p": 2}, {"temperature": float("nan")}],
)
def test_impossible_sampling_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError) as e:
        Sampling(**bad)  # type: ignore[arg-type]
    assert e.value.parameter in bad


def test_noise_may_come_with_or_without_its_last_axis() -> None:
    params = np.random.default_rng(0).standard_normal((2, 3, 16))
    noise = np.random.default_rng(1).random((2, 3))
    assert (D.draw(params, noise, Sampling()) == D.draw(params, noise[..., None], Sampling())).all()
    assert noise_columns(noise, 1).shape == (2, 3, 1)
    for wrong, columns in ((noise, 2), (noise[..., None], 3), (noise[0], 1)):
        with pytest.raises(UsageError) as e:
            noise_columns(wrong, columns)
        assert (e.value.parameter, e.value.value) == ("noise", wrong.shape)


@pytest.mark.parametrize("levels", [16, 256, 1024])
def test_bits_to_16bit_count_the_16_bit_samples_of_a_code(levels: int) -> None:
    """A code's probability, spread evenly over its samples, is a distribution over 16-bit samples.

    It sums to one.
    """
    samples = np.arange(-32768, 32768) / 32768
    x = quantization.encode(samples, levels)
    bits = Categorical(levels).bits_to_16bit(x)
    for code in (0, levels // 4, levels // 2, levels - 1):
        assert bits[x == code] == pytest.approx(np.log2((x == code).sum()))
    assert (2**-bits).sum() == pytest.approx(len(np.unique(x)))
    assert (GaussianMixture(2).bits_to_16bit(np.arange(65536)) == 0).all()


def test_nats_are_the_loss() -> None:
    params = torch.randn(1, 50, 16, generator=torch.Generator().manual_seed(0))
    x = torch.arange(50)[None] % 16
    nats = D.nats(params[0].numpy(), x[0].numpy())
    assert nats.mean() == pytest.approx(D.loss(params, x).item(), rel=1e-6)
