"""What `benchmarks.kernel_counts` counts."""

import torch

from benchmarks.kernel_counts import KernelCounter, count_step
from tests.helpers import BOTH
from wavenet.config import Config


def test_views_and_allocations_are_no_kernels() -> None:
    with KernelCounter() as counter:
        t = torch.empty(4, 6)
        t.view(24)[2:].t()
        t[:0].zero_()
    assert counter.total == counter.bytes_read == counter.bytes_written == 0


def test_bytes_are_those_of_arguments_and_results() -> None:
    a, b, out = torch.zeros(5, 7), torch.zeros(7, 3), torch.empty(5, 3)
    with KernelCounter() as counter:
        torch.mm(a, b, out=out)
    assert (counter.bytes_read, counter.bytes_written) == (4 * (35 + 21), 4 * 15)
    with KernelCounter() as counter:
        out.addmm_(a, b)
    assert (counter.bytes_read, counter.bytes_written) == (4 * (35 + 21 + 15), 4 * 15)
    with KernelCounter() as counter:
        out.copy_(torch.zeros(3).expand(5, 3))
    # The expanded row is read once; making it wrote 12 bytes.
    assert (counter.bytes_read, counter.bytes_written) == (12, 12 + 60)
    assert counter.kernels == {"zeros": 1, "copy_": 1}


def test_backward_passes_and_optimizers_count() -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    with KernelCounter() as forward:
        loss = (weight * 2).sum()
    with KernelCounter() as backward:
        loss.backward()
    with KernelCounter() as step:
        optimizer.step()
    assert forward.kernels == {"mul": 1, "sum": 1}
    assert backward.kernels["mul"] == 1
    assert step.total >= 1


def test_what_the_host_waits_for_is_seen() -> None:
    t = torch.zeros(3)
    with KernelCounter() as counter:
        float(t.sum())
        t.nonzero()
        t.to("meta")
        t.clone()
    assert counter.host_waits == {"_local_scalar_dense": 1, "nonzero": 1, "_to_copy": 1}


def test_a_step_in_half_precision_is_traced_without_computing() -> None:
    parts, again = (count_step(Config(model=BOTH), torch.bfloat16) for _ in range(2))
    assert {k: c.kernels for k, c in parts.items()} == {k: c.kernels for k, c in again.items()}
    assert list(parts) == ["forward", "loss", "backward"]
    assert min(parts["backward"].total, parts["forward"].total) > 50
    assert parts["forward"].kernels["glu"] == BOTH.layers
    assert not any(counter.host_waits for counter in parts.values())
