"""Mixtures over 16-bit samples: exact masses, a loss that never breaks, draws that follow both."""

import numpy as np
import pytest
import scipy.stats
import torch

from tests.helpers import EXTREME_MIXTURES, mixture_params
from wavenet.config import ModelConfig
from wavenet.errors import UsageError
from wavenet.model.distributions.base import Distribution, Sampling
from wavenet.model.distributions.mixture import GaussianMixture, LogisticMixture
from wavenet.model.distributions.registry import distribution_for

K = 4
BOTH: list[Distribution] = [LogisticMixture(K), GaussianMixture(K)]
CURVES = {"logistic": scipy.stats.logistic, "gaussian": scipy.stats.norm}
both = pytest.mark.parametrize("d", BOTH, ids=lambda d: d.kind)
CODES = np.arange(65536)
extreme = pytest.mark.parametrize(
    "params", [mixture_params(p) for p in EXTREME_MIXTURES.values()], ids=EXTREME_MIXTURES
)


@both
@extreme
def test_masses_of_all_codes_sum_to_one(d: Distribution, params: np.ndarray) -> None:  # type: ignore[type-arg]
    nats = d.nats(np.tile(params, (65536, 1)), CODES)
    assert np.exp(-nats).sum() == pytest.approx(1, abs=1e-9)
    assert np.isfinite(nats).all()


@both
@extreme
def test_loss_and_gradient_are_finite_and_the_loss_equals_the_scored_nats(
    d: Distribution, params: np.ndarray
) -> None:  # type: ignore[type-arg]
    extremes = [0, 1, 32767, 32768, 65534, 65535]
    codes = np.concatenate([extremes, np.random.default_rng(0).integers(0, 65536, 60)])
    p = torch.tensor(np.tile(params, (len(codes), 1)), dtype=torch.float32)
    for x, row in zip(codes, p, strict=True):
        row.requires_grad_()
        loss = d.loss(row[None, None], torch.tensor([[x]]))
        (gradient,) = torch.autograd.grad(loss, row)
        assert torch.isfinite(gradient).all(), x
        expected = d.nats(row.detach().numpy()[None], np.array([x]))[0]
        assert float(loss.detach()) == pytest.approx(expected, rel=1e-4, abs=1e-4), x


@both
def test_the_loss_is_the_difference_of_distribution_functions(d: Distribution) -> None:
    rng = np.random.default_rng(1)
    params = rng.normal(0, 1, (500, 3, K)) * [[1], [0.1], [0.5]] - [[0], [0], [3]]
    x = rng.integers(0, 65536, 500)
    x[:4] = 0, 65535, 1, 65534
    x[4:250] = 32768 + rng.integers(-3000, 3000, 246)
    weights = np.exp(params[:, 0]) / np.exp(params[:, 0]).sum(axis=1, keepdims=True)
    scale = np.exp(params[:, 2]) + 2**-17
    edges = np.concatenate([[-np.inf], d.edges(), [np.inf]])
    below, above = (
        CURVES[d.kind].cdf((e[:, None] - params[:, 1]) / scale) for e in (edges[x], edges[x + 1])
    )
    mass = (weights * (above - below)).sum(axis=1)
    # There the naive difference has digits left.
    sure = mass > 1e-9
    assert sure.mean() > 0.5
    flat = mixture_params(params)
    np.testing.assert_allclose(d.nats(flat, x)[sure], -np.log(mass[sure]), rtol=1e-5)
    p = torch.tensor(flat, dtype=torch.float32).view(5, 100, -1)
    codes = torch.tensor(x).view(5, 100)
    loss_mask = torch.tensor(sure).view(5, 100).float()
    assert float(d.loss(p, codes, loss_mask)) == pytest.approx(-np.log(mass[sure]).sum(), rel=1e-5)
    assert float(d.loss(p, codes)) == pytest.approx(d.nats(flat, x).mean(), rel=1e-5)


@both
def test_the_gradient_is_that_of_the_exact_loss(d: Distribution) -> None:
    rng = np.random.default_rng(2)
    for mean, log_scale in ((0.01, -4), (0.3, -9), (-0.5, -14), (50.0, -12)):
        logits = rng.normal(0, 1, K)
        means = mean + rng.normal(0, 1e-3, K)
        log_scales = log_scale + rng.normal(0, 0.3, K)
        params = mixture_params(np.array([logits, means, log_scales]))
        p = torch.tensor(params, dtype=torch.float64, requires_grad=True)
        d.loss(p[None, None], torch.tensor([[33000]])).backward()
        assert p.grad is not None
        for i in range(3 * K):
            step = np.zeros(3 * K)
            step[i] = 1e-6
            up, down = (d.nats((params + s)[None], np.array([33000]))[0] for s in (step, -step))
            slope = (up - down) / 2e-6
            rounding = 1e-3 + 1e-9 * up
            case = (mean, log_scale, i)
            assert float(p.grad[i]) == pytest.approx(slope, rel=2e-2, abs=rounding), case


def stratified(count: int, columns: int, seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    """Uniforms (count, columns), each column as even as can be, in its own order."""
    rng = np.random.default_rng(seed)
    strata = [(rng.permutation(count) + rng.random(count)) / count for _ in range(columns)]
    return np.stack(strata, axis=1)


@both
def test_draws_follow_the_masses(d: Distribution) -> None:
    params = mixture_params(np.array([[0, 1, 0.5, -1], [-0.3, 0.0, 0.02, 0.9], [-3, -6, -4, -1]]))
    count, bins = 200_000, 64
    x = d.draw(np.tile(params, (count, 1)), stratified(count, d.n_noise), Sampling())
    masses = np.exp(-d.nats(np.tile(params, (65536, 1)), CODES)).reshape(bins, -1).sum(axis=1)
    frequencies = np.bincount(x // (65536 // bins), minlength=bins) / count
    assert np.abs(frequencies - masses).max() < 2e-3
    assert {x.min(), x.max()} <= set(CODES)


@both
def test_fine_bins_are_filled_as_predicted(d: Distribution) -> None:
    """With a component as narrow as a few steps, every code is compared alone."""
    params = mixture_params(np.array([[0.0], [100 / 32768], [np.log(2 / 32768)]]))
    one = type(d)(1)  # type: ignore[call-arg]
    x = one.draw(np.tile(params, (100_000, 1)), stratified(100_000, d.n_noise), Sampling())
    masses = np.exp(-one.nats(np.tile(params, (65536, 1)), CODES))
    frequencies = np.bincount(x, minlength=65536) / 100_000
    assert np.abs(frequencies - masses).max() < 5e-3


@both
def test_temperature_narrows_and_zero_is_the_centre_of_the_highest_peak(d: Distribution) -> None:
    params = mixture_params(np.array([[1, 0, 0, -9], [0.5, -0.25, 0.1, 0.9], [-2, -5, -3, -8]]))
    rows, noise = np.tile(params, (20_000, 1)), stratified(20_000, d.n_noise)
    # Weight over scale is largest for the second component.
    assert (d.draw(rows, noise, Sampling(temperature=0)) == 32768 - 8192).all()
    near = [np.abs(d.draw(rows, noise, Sampling(t)) - (32768 + 16384)) for t in (1.0, 0.3)]
    assert np.median(near[1]) < np.median(near[0]) / 2
    single = mixture_params(np.array([[0.0], [0.25], [-5]]))
    one = type(d)(1)  # type: ignore[call-arg]
    rows = np.tile(single, (20_000, 1))
    spread = [np.std(one.draw(rows, noise, Sampling(t))) for t in (1.0, 0.5)]
    assert spread[1] == pytest.approx(spread[0] / 2, rel=1e-3)


@both
def test_audio_survives_and_silence_is_silent(d: Distribution) -> None:
    assert (d.encode(d.decode(CODES)) == CODES).all()
    assert d.decode(np.array([d.silence])) == 0
    assert d.encode(np.array([-7.0, 7.0, 1.0])).tolist() == [0, 65535, 65535]
    pcm = np.array([-32768, -1, 0, 1, 32767], np.int16)
    assert (d.encode(pcm.astype(np.float32) / np.float32(32768)) == pcm.astype(int) + 32768).all()
    table = np.random.default_rng(0).standard_normal((1, 5)).astype(np.float32)
    embedded = d.embed(torch.tensor([[0, 49152]]), torch.tensor(table)).numpy()
    np.testing.assert_array_equal(embedded, d.embed_array(np.array([[0, 49152]]), table))
    np.testing.assert_array_equal(embedded[0], [-table[0], table[0] / 2])
    edges = d.edges()
    assert (d.encode(edges - 1e-9) == CODES[:-1]).all()
    assert (d.encode(edges + 1e-9) == CODES[1:]).all()


@both
def test_sampling_that_a_mixture_cannot_do_is_refused(d: Distribution) -> None:
    d.check(Sampling(0.5))
    for sampling, parameter in ((Sampling(top_k=3), "top_k"), (Sampling(top_p=0.9), "top_p")):
        with pytest.raises(UsageError) as e:
            d.check(sampling)
        assert (e.value.parameter, e.value.value) == (parameter, getattr(sampling, parameter))
        assert "`temperature`" in e.value.advice
        distribution_for(ModelConfig()).check(sampling)


def test_the_config_chooses() -> None:
    assert distribution_for(ModelConfig(output="logistic", mixtures=3)) == LogisticMixture(3)
    assert distribution_for(ModelConfig(output="gaussian", mixtures=3)) == GaussianMixture(3)
    assert distribution_for(ModelConfig(levels=64)).levels == 64
    assert LogisticMixture(3) != GaussianMixture(3)


@pytest.mark.parametrize("kind", [LogisticMixture, GaussianMixture])
def test_concentrated_noise_draws_as_many_times_nearer_to_the_mean(
    kind: type[LogisticMixture] | type[GaussianMixture],
) -> None:
    d, generator = kind(1), np.random.default_rng(0)
    noise = generator.uniform(0.001, 0.999, (2, 500, d.n_noise)).astype(np.float32)
    before = noise.copy()
    factors = generator.uniform(0.1, 1, (2, 500))
    # A mean of 0.125, and a scale at which rounding to codes is small.
    params = np.broadcast_to([0.0, 4.0, -4.0], (2, 500, 3))
    far, near = (
        d.decode(d.draw(params, n, Sampling())) - 0.125
        for n in (noise, d.concentrated(noise, factors))
    )
    np.testing.assert_allclose(near, factors * far, atol=1e-4)
    assert (noise == before).all()
    for least in (np.float32(2**-24), np.float32(1 - 2**-24)):
        extreme = np.full((1, 3, d.n_noise), least, np.float32)
        left = d.concentrated(extreme, np.array([[0.0, 1.0, 3.0]]))
        assert ((left > 0) & (left < 1)).all()


def test_levels_have_no_components_to_concentrate() -> None:
    noise = np.random.default_rng(0).uniform(size=(1, 5, 1)).astype(np.float32)
    assert (distribution_for(ModelConfig()).concentrated(noise, np.zeros((1, 5))) == noise).all()
