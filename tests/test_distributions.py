import numpy as np
import pytest
import torch

from wavenet.distributions import Categorical, Sampling
from wavenet.errors import EngineError

D = Categorical(16)


def _logits(p: list[float]) -> np.ndarray:  # type: ignore[type-arg]
    return np.log(np.array(p + [1e-30] * (16 - len(p))))


def test_draws_follow_the_predicted_probabilities() -> None:
    p = [0.5, 0.2, 0.3]
    noise = (np.arange(1000) + 0.5) / 1000
    drawn = D.draw(np.tile(_logits(p), (1000, 1)), noise, Sampling())
    assert np.bincount(drawn).tolist() == [500, 200, 300]


def test_temperature_sharpens_and_zero_takes_the_likeliest() -> None:
    logits = np.tile(_logits([0.4, 0.6]), (1000, 1))
    noise = (np.arange(1000) + 0.5) / 1000
    assert (D.draw(logits, noise, Sampling(temperature=0.5)) == 1).mean() == pytest.approx(0.36 / 0.52, abs=2e-3)
    assert (D.draw(logits, noise, Sampling(temperature=0)) == 1).all()
    assert D.draw(np.zeros((1, 16)), np.array([0.9]), Sampling(temperature=0)) == [0]


def test_top_k_keeps_the_likeliest_and_breaks_ties_downwards() -> None:
    logits = np.tile(_logits([0.1, 0.3, 0.3, 0.3]), (1000, 1))
    noise = (np.arange(1000) + 0.5) / 1000
    assert set(D.draw(logits, noise, Sampling(top_k=2))) == {1, 2}


def test_top_p_keeps_the_fewest_that_hold_it() -> None:
    logits = np.tile(_logits([0.1, 0.5, 0.25, 0.15]), (1000, 1))
    noise = (np.arange(1000) + 0.5) / 1000
    assert set(D.draw(logits, noise, Sampling(top_p=0.45))) == {1}
    assert set(D.draw(logits, noise, Sampling(top_p=0.55))) == {1, 2}
    assert set(D.draw(logits, noise, Sampling(top_p=0.99))) == {0, 1, 2, 3}


def test_loss_leaves_padding_out() -> None:
    params, x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0)), torch.arange(10).reshape(2, 5)
    counts = torch.ones(2, 5)
    counts[1, :3] = 0
    expected = D.loss(params[:1], x[:1]) * 5 + D.loss(params[1:, 3:], x[1:, 3:]) * 2
    assert torch.allclose(D.loss(params, x, counts), expected)


@pytest.mark.parametrize("bad", [{"temperature": -1}, {"top_k": -1}, {"top_p": 0}, {"top_p": 2}, {"temperature": float("nan")}])
def test_impossible_sampling_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(EngineError, match="must be"):
        Sampling(**bad)  # type: ignore[arg-type]
