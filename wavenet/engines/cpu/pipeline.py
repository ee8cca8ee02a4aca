"""One stream on two cores: `lead` does what the next layer waits for, `trail` follows with what can wait.

    lead                                            trail
    for each step i:                                older taps of step 0, for every layer
      x = embedding[the sample before]              for each step i:
      for each layer l:                               for each layer l:
        ring[t] = x                                     wait for LED > i L + l
        wait for TRAILED > i L + l                      total[i] += z[i, l] @ skip + bias
        z[i, l] = gate(ahead[t] + told[t] + x @ newest) after the last layer: SKIPPED = i + 1
        LED = i L + l + 1                               older taps of step i + 1, where a block begins there
        x += z[i, l] @ residual + bias                  TRAILED = (i + 1) L + l + 1
      wait for SKIPPED > i
      logits, sample = head(total[i] + context), draw

There are no locks and no barriers, only three counts in shared memory that each have one writer. What lies before a count is published
is visible to who has read it. `trail` is at most one step late, so two places for z and total suffice, and a ring of one row more
than the older taps reach back.

The sums are those of `kernels.advance_streams` in the same order: bit for bit the same samples.
"""

import os
from typing import Any

from numba import types

from wavenet.engines.cpu.kernels import (
    conditioned,
    context,
    gated,
    gather_taps,
    head,
    precompute_older_taps,
    residual,
    scratch_pointers,
    skip,
    weight_pointers,
)
from wavenet.engines.cpu.panels import BLOCK
from wavenet.engines.cpu.sampling import draw
from wavenet.engines.cpu.vectors import LANES, at, copy, fetch, move, part, publish, published

STOP, PRODUCED, CONSUMED, SKIPPED, FLAGS = (
    0,
    16,
    32,
    48,
    64,
)  # places in `flags`, far enough apart for cache lines of their own
SPINS = 2000  # looks at a count, some 10 us, before the core is offered to others: without that, a busy machine crawls
_yield_core: Any = types.ExternalFunction("sched_yield", types.int32())


def available() -> bool:
    """Whether this system offers what waiting threads need."""
    return hasattr(os, "sched_yield")


@part
def _wait(flags, place, count):  # type: ignore[no-untyped-def]
    """Until the other thread has published `count` at `place`. Returns what it has, or -1 when one of them was told to stop."""
    looks = 0
    while True:
        found = published(move(flags, place))
        if found >= count:
            return found
        looks += 1
        if looks > SPINS:
            if published(move(flags, STOP)) != 0:
                return -1
            _yield_core()


def produce_stream(
    n,
    weights,
    plan,
    work,
    flags,
    ring,
    ahead,
    time,
    skips,
    sums,
    last,
    x,
    noise,
    params,
    how,
    told,
    begin,
    end,
):  # type: ignore[no-untyped-def]
    """Advance one stream as `advance_streams` does, x (1, steps). Returns whether it came to the end."""
    w, s, f = weight_pointers(weights), scratch_pointers(work), at(flags, 0)
    channels, width, gates = n.r_vectors * LANES, 2 * n.g_vectors * LANES, n.g_vectors * LANES
    layers = plan.layers
    trailed = 0
    for i in range(begin, end):
        t = time + i
        gather_taps(n, w, last[0], s.x)
        for layer in range(n.layers):
            _, _, first, mask, _, phase = layers[layer]
            count = (i - begin) * n.layers + layer + 1
            z = move(s.z, ((i & 1) * n.layers + layer) * gates)
            copy(s.x, at(ring, (first + (t & mask)) * channels), n.r_vectors)
            if trailed < count:
                trailed = _wait(f, CONSUMED, count)
                if trailed < 0:
                    return False
            start = at(ahead, (layer * BLOCK + (t + phase & BLOCK - 1)) * width)
            if told.hop > 0:
                conditioned(n, layer, start, told, at(told.frames, 0), t, s.h)
                start = s.h
            gated(n, w, layer, s.x, start, 0, 1, s.h, z)
            publish(move(f, PRODUCED), count)
            following = (layer + 1) % n.layers
            later = t if following > 0 else t + 1
            fetch(
                at(ahead, (following * BLOCK + (later + layers[following, 5] & BLOCK - 1)) * width),
                2 * n.g_vectors,
            )
            if layer + 1 < n.layers:
                residual(n, w, layer, z, 1, s.out, s.x)
        if _wait(f, SKIPPED, i - begin + 1) < 0:
            return False
        total = move(s.total, (i & 1) * n.s_vectors * LANES)
        if n.branches > 0:
            context(
                n, w, at(plan.context, 0), t, 1, total, at(skips, 0), at(sums, 0), s.context, s.out
            )
        head(n, w, total, 1, s.hidden, s.logits)
        logits = work.logits[: n.levels]
        if noise.shape[1] > 0:
            x[0, i] = draw(logits, noise[0, i], how)
        else:
            params[0, i] = logits
        last[0] = x[0, i]
    return True


def consume_stream(n, weights, plan, work, flags, ring, ahead, time, begin, end):  # type: ignore[no-untyped-def]
    """What `lead_stream` waits for, over the same steps."""
    w, s, f = weight_pointers(weights), scratch_pointers(work), at(flags, 0)
    channels, width, gates, skips = (
        n.r_vectors * LANES,
        2 * n.g_vectors * LANES,
        n.g_vectors * LANES,
        n.s_vectors * LANES,
    )
    out, z = (
        move(s.out, max(channels, skips)),
        move(s.z, 2 * n.layers * gates),
    )  # what lies before is lead's
    layers, backs = plan.layers, plan.backs
    led = 0
    for i in range(begin - 1, end):
        total = (i & 1) * skips
        for layer in range(n.layers):
            older, taps, first, mask, block, phase = layers[layer]
            if i >= begin:
                count = (i - begin) * n.layers + layer + 1
                if led < count:
                    led = _wait(f, PRODUCED, count)
                    if led < 0:
                        return
                if layer == 0:
                    work.total[total : total + skips] = 0
                # all of it at once: number by number, each cache line would be waited for on its own
                copy(move(s.z, ((i & 1) * n.layers + layer) * gates), z, n.g_vectors)
                skip(n, w, layer, z, 1, out, move(s.total, total))
                if layer + 1 == n.layers:
                    publish(move(f, SKIPPED), i - begin + 1)
            t = time + i + 1
            if i + 1 < end and t + phase & block - 1 == 0:
                slot = layer * BLOCK + (t + phase & BLOCK - 1)
                memory, to = at(ring, first * channels), at(ahead, slot * width)
                precompute_older_taps(
                    n, w, layer, older, taps, at(backs, older), t, mask, block, memory, to, s.heard
                )
            publish(move(f, CONSUMED), (i - begin + 1) * n.layers + layer + 1)
