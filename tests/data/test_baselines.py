import numpy as np
import pytest
import scipy.stats

from tests.helpers import STARTER, noisy, tone
from wavenet.audio import quantization
from wavenet.audio.quantization import from_pcm16
from wavenet.config import AudioConfig
from wavenet.data import baselines
from wavenet.data.pcm_cache import index_folder
from wavenet.glossary import Samples
from wavenet.model.distributions.categorical import Categorical
from wavenet.model.distributions.mixture import LogisticMixture

D, MULAW = Categorical(16), Categorical(256)


def blocks(x: Samples, size: int, overlap: int = 0) -> list[Samples]:
    return [x[max(0, i - overlap) : i + size] for i in range(overlap, len(x), size)]


def test_bits_of_what_is_certain_and_of_what_is_random() -> None:
    certain = baselines.pairs([np.arange(10_001) % 2], 16)
    bits = baselines.pair_bits(certain, certain, D, prior=0)
    assert bits == pytest.approx((1, 0), abs=1e-3)
    random = baselines.pairs([np.random.default_rng(0).integers(0, 16, 200_000)], 16)
    bits = baselines.pair_bits(random, random, D, prior=0)
    assert bits == pytest.approx((4, 4), abs=0.01)
    # What was never seen is rare, not impossible.
    unseen = baselines.pairs([np.array([3, 4, 5])], 16)
    assert max(baselines.pair_bits(certain, unseen, D)) < 20


def test_a_mixture_is_measured_on_16_bit_samples() -> None:
    """Figures of both kinds compare.

    The baselines of a mixture are mu-law's plus the bits that tell apart the samples of a level.
    """
    wav = np.round(noisy(1.0) * 32768) / 32768
    x = MULAW.encode(wav)
    pairs = baselines.pairs([x], 256)
    mulaw_bits, mixture_bits = (
        baselines.pair_bits(pairs, pairs, d, prior=0) for d in (MULAW, LogisticMixture(2))
    )
    expected = MULAW.bits_to_16bit(x[1:]).mean()
    assert np.subtract(mixture_bits, mulaw_bits) == pytest.approx((expected, expected))
    assert (np.abs(baselines.refinement_bits(MULAW)) < 1e-12).all()
    coefficients = np.zeros(baselines.ORDER)
    bits = [
        np.concatenate(list(baselines.lpc_bits([d.encode(wav)], coefficients, d))).mean()
        for d in (MULAW, LogisticMixture(2))
    ]
    assert bits[1] - bits[0] == pytest.approx(expected, abs=0.2)


def test_pairs_do_not_depend_on_blocks() -> None:
    x = np.random.default_rng(0).integers(0, 16, 1000)
    at_once = baselines.pairs([x], 16)
    assert at_once.sum() == 999
    assert (baselines.pairs(blocks(x, 7, overlap=1), 16) == at_once).all()


def test_masses_of_all_codes_sum_to_one_and_are_laplace() -> None:
    edges = np.concatenate([[-np.inf], quantization.edges(256), [np.inf]])
    for centre, scale in ((0.0, 0.1), (0.3, 1e-3), (-0.9, 1e-4), (1.5, 1e-4)):
        bits = baselines._laplace_bits((edges[:-1] - centre) / scale, (edges[1:] - centre) / scale)
        assert np.exp2(-bits).sum() == pytest.approx(1, abs=1e-9)
        laplace = scipy.stats.laplace(centre, scale)
        expected = laplace.cdf(edges[1:]) - laplace.cdf(edges[:-1])
        visible = expected > 1e-6
        np.testing.assert_allclose(np.exp2(-bits)[visible], expected[visible], rtol=1e-6)
        # This holds far out too, where the mass itself underflows.
        assert np.isfinite(bits).all()


def test_the_predictor_finds_the_process_that_made_the_audio() -> None:
    rng = np.random.default_rng(0)
    wav = np.zeros(50_000)
    for t in range(2, len(wav)):
        wav[t] = 1.6 * wav[t - 1] - 0.8 * wav[t - 2] + 0.01 * rng.standard_normal()
    coefficients = baselines.predictor(baselines.autocorrelation([wav]))
    np.testing.assert_allclose(coefficients[:3], [1.6, -0.8, 0], atol=0.03)
    pieces = [wav[i : i + 999] for i in range(0, len(wav), 999)]
    of_pieces = baselines.predictor(baselines.autocorrelation(pieces))
    np.testing.assert_allclose(of_pieces, coefficients, rtol=1e-6, atol=1e-9)
    # Silence predicts silence.
    assert (baselines.predictor(np.zeros(25)) == 0).all()


def test_prediction_pays_on_tones_and_does_not_depend_on_blocks() -> None:
    x = quantization.encode(tone(1.0) + noisy(1.0, amplitude=1e-3), 256)
    coefficients = baselines.predictor(baselines.autocorrelation([quantization.decode(x, 256)]))
    at_once = np.concatenate(list(baselines.lpc_bits([x], coefficients, MULAW)))
    pieces = np.concatenate(list(baselines.lpc_bits(blocks(x, 77), coefficients, MULAW)))
    np.testing.assert_allclose(pieces, at_once, rtol=1e-9)
    assert at_once[100:].mean() < 3
    noise = quantization.encode(noisy(1.0, amplitude=0.3), 256)
    assert np.concatenate(list(baselines.lpc_bits([noise], coefficients * 0, MULAW))).mean() > 6


@pytest.mark.parametrize(
    ("name", "unigram", "bigram", "lpc"),
    [
        ("speech/allison", 7.39, 4.48, 4.14),
        ("speech/carlo", 7.86, 5.33, 4.85),
        ("music", 6.82, 3.03, 2.56),
    ],
)
def test_known_figures_of_the_starter_recordings(
    name: str, unigram: float, bigram: float, lpc: float
) -> None:
    """The last tenths of files over a second at 16 kHz, after learning from the rest of them.

    The figures were measured independently, but for music's lpc (2.76 there).
    """
    index = index_folder(STARTER / name, AudioConfig(), trim=False)
    wavs = [from_pcm16(index.pcm(r)) for r in index.recordings if r.samples > 16000]
    parts = [(quantization.encode(w, 256), int(len(w) * 0.9)) for w in wavs]
    learnt = baselines.pairs((x[:cut] for x, cut in parts), 256)
    scored = baselines.pairs((x[cut - 1 :] for x, cut in parts), 256)
    assert baselines.pair_bits(learnt, scored, MULAW) == pytest.approx((unigram, bigram), abs=0.01)
    bits = []
    for x, cut in parts:
        learnt_from = quantization.decode(x[:cut], 256)
        coefficients = baselines.predictor(baselines.autocorrelation([learnt_from]))
        bits.append(np.concatenate(list(baselines.lpc_bits([x], coefficients, MULAW)))[cut:])
    assert np.concatenate(bits).mean() == pytest.approx(lpc, abs=0.01)
