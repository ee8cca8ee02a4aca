"""Softmax cross-entropy in machine code against torch's in float64, and where it is used."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

pytest.importorskip("numba")

from wavenet.model.distributions.categorical import Categorical
from wavenet.model.distributions.cross_entropy import cross_entropy


def example(rows: int, levels: int, spread: float) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    logits = spread * torch.randn(rows, levels, generator=generator, dtype=torch.float64)
    codes = torch.randint(0, levels, (rows,), generator=generator)
    return logits, codes, torch.rand(rows, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("levels", [16, 256])
@pytest.mark.parametrize("spread", [0.01, 3, 60])
def test_values_and_gradients_are_those_of_float64(
    threads: int, levels: int, spread: float
) -> None:
    exact, codes, weights = example(777, levels, spread)
    exact.requires_grad_()
    expected = functional.cross_entropy(exact, codes, reduction="none")
    (expected * weights).sum().backward()
    logits = exact.detach().float().requires_grad_()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        nats = cross_entropy(logits, codes)
        (nats * weights.float()).sum().backward()
        with torch.no_grad():
            assert torch.equal(cross_entropy(logits, codes), nats)
    finally:
        torch.set_num_threads(before)
    assert exact.grad is not None
    assert logits.grad is not None
    torch.testing.assert_close(nats.double(), expected, rtol=1e-6, atol=2e-6 * max(1, spread))
    torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=1e-5, atol=1e-6)


def test_the_loss_takes_it_where_levels_fill_vectors_and_torch_elsewhere() -> None:
    for levels in (32, 33):
        exact, codes, weights = example(60, levels, 2)
        params = exact.float().view(30, 2, levels).transpose(0, 1).requires_grad_()
        x, weights = codes.view(30, 2).t(), weights.view(30, 2).t().float()
        loss = Categorical(levels).loss(params, x, weights)
        expected = functional.cross_entropy(exact, codes, reduction="none")
        assert loss.item() == pytest.approx(float((expected * weights.t().flatten()).sum()), 1e-6)
        assert ("CrossEntropy" in repr_of_graph(loss)) == (levels == 32)


def repr_of_graph(loss: Tensor) -> str:
    names, pending = [], [loss.grad_fn]
    while pending:
        node = pending.pop()
        if node is not None:
            names.append(type(node).__name__)
            pending += [function for function, _ in node.next_functions]
    return " ".join(names).replace("NllLoss", "")


def test_what_is_not_a_level_is_refused_and_what_is_not_finite_stays_so() -> None:
    logits = torch.zeros(3, 32, requires_grad=True)
    for code in (-1, 32):
        with pytest.raises(IndexError, match="0 to 31"):
            cross_entropy(logits, torch.tensor([0, code, 1]))
    bad = logits.detach().clone()
    bad[1, 7] = torch.nan
    nats = cross_entropy(bad, torch.tensor([0, 1, 2]))
    assert nats.isnan().tolist() == [False, True, False]
    assert cross_entropy(logits[:0], torch.zeros(0, dtype=torch.int64)).shape == (0,)


def test_a_gradient_is_taken_once() -> None:
    nats = cross_entropy(torch.zeros(3, 32, requires_grad=True), torch.tensor([0, 1, 2])).sum()
    nats.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        nats.backward()
