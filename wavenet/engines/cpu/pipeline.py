"""One stream on two cores: a producer and a consumer of the layers' gates.

The producer computes what the next layer waits for, and the consumer follows with what can wait:

    producer                                         consumer
    for each step i:                                 older taps of step 0, for every layer
      x = embedding[the previous sample]             for each step i:
      for each layer l:                                for each layer l:
        ring[t] = x                                      wait for PRODUCED > i L + l
        wait for CONSUMED > i L + l                      total[i] += z[i, l] @ skip + bias
        h = ahead[t] + conditioning + x @ newest         after the last layer: SKIPPED = i + 1
        z[i, l] = gate(h)                                older taps of step i + 1, where a block
        PRODUCED = i L + l + 1                             begins there
        x += z[i, l] @ residual + bias                   CONSUMED = (i + 1) L + l + 1
      wait for SKIPPED > i
      params = head(total[i] + context)
      the sample = a draw from params

There are no locks and no barriers, only three counts in shared memory with one writer each. Whoever
reads a count sees everything that was written before it was published. The consumer is at most one
step behind, so z and total need room for two steps, and a ring one row more than its older taps
read.

The sums are those of `kernels.advance_streams` in the same order: the samples are the same bit for
bit.
"""

from wavenet.engines.cpu import kernels
from wavenet.engines.cpu.panels import BLOCK
from wavenet.engines.cpu.sampling import draw
from wavenet.engines.cpu.scratch import scratch_pointers
from wavenet.simd.counts import SPINS, publish, published, yield_core
from wavenet.simd.vectors import copy, prefetch
from wavenet.simd.writer import LANES, at, move, subroutine

# Indices into `flags`, far enough apart for cache lines of their own, and its length.
STOP, PRODUCED, CONSUMED, SKIPPED, FLAGS = 0, 16, 32, 48, 64


@subroutine
def _wait(flags, index, count):  # type: ignore[no-untyped-def]
    """Wait until the other thread has published at least `count` at this index of `flags`.

    Returns the published count, or -1 when the threads have to stop.
    """
    spins = 0
    while True:
        current = published(move(flags, index))
        if current >= count:
            return current
        spins += 1
        if spins > SPINS:
            if published(move(flags, STOP)) != 0:
                return -1
            yield_core()


def produce_stream(  # type: ignore[no-untyped-def]
    sizes, weights, plan, scratch, flags, settings, ring, ahead, skips, sums, last,
    times, x, noise, params, conditioning, begin, end,
):  # fmt: skip
    """Advance one stream as `advance_streams` does, x (1, steps), with the help of a consumer.

    Returns early at STOP.
    """
    w, s, f = kernels.weight_pointers(weights), scratch_pointers(scratch), at(flags, 0)
    channels, width = sizes.r_vectors * LANES, 2 * sizes.g_vectors * LANES
    gates = sizes.g_vectors * LANES
    layers = plan.layers
    consumed = 0
    for i in range(begin, end):
        t = times[0] + i
        kernels.embed(sizes, w, last[0], s.x)
        for layer in range(sizes.layers):
            _, _, first_row, mask, _, stagger = layers[layer]
            count = (i - begin) * sizes.layers + layer + 1
            z = move(s.z, ((i & 1) * sizes.layers + layer) * gates)
            copy(s.x, at(ring, (first_row + (t & mask)) * channels), sizes.r_vectors)
            if consumed < count:
                consumed = _wait(f, CONSUMED, count)
                if consumed < 0:
                    return
            start = at(ahead, (layer * BLOCK + ((t + stagger) & (BLOCK - 1))) * width)
            if conditioning.hop > 0:
                frames = at(conditioning.frames, 0)
                first, hop = conditioning.start[0], conditioning.hop
                kernels.add_conditioning(sizes, layer, start, first, hop, frames, t, s.h)
                start = s.h
            kernels.gated_activation(sizes, w, layer, s.x, start, 0, 1, s.h, z)
            publish(move(f, PRODUCED), count)
            # The consumer wrote the next layer's row of `ahead`, so the other core's cache has it.
            following = (layer + 1) % sizes.layers
            following_t = t if following > 0 else t + 1
            slot = (following_t + layers[following, 5]) & (BLOCK - 1)
            prefetch(at(ahead, (following * BLOCK + slot) * width), 2 * sizes.g_vectors)
            if layer + 1 < sizes.layers:
                kernels.add_residual(sizes, w, layer, z, 1, s.out, s.x)
        if _wait(f, SKIPPED, i - begin + 1) < 0:
            return
        total = move(s.total, (i & 1) * sizes.s_vectors * LANES)
        if sizes.branches > 0:
            kernels.add_context(
                sizes, w, at(plan.context_lags, 0), at(times, 0), i, 1, total,
                at(skips, 0), at(sums, 0), s.context, s.out,
            )  # fmt: skip
        kernels.head(sizes, w, total, 1, s.hidden, s.predicted)
        predicted = scratch.predicted[: sizes.n_params]
        if noise.shape[1] > 0:
            x[0, i] = draw(predicted, noise[0, i], settings, 0)
        else:
            params[0, i] = predicted
        last[0] = x[0, i]


def consume_stream(sizes, weights, plan, scratch, flags, ring, ahead, times, begin, end):  # type: ignore[no-untyped-def]
    """Compute what `produce_stream` waits for, over the same steps. Returns early at STOP."""
    w, s, f = kernels.weight_pointers(weights), scratch_pointers(scratch), at(flags, 0)
    channels, width = sizes.r_vectors * LANES, 2 * sizes.g_vectors * LANES
    gates, skips = sizes.g_vectors * LANES, sizes.s_vectors * LANES
    # What lies before these belongs to the producer.
    out, z = move(s.out, max(channels, skips)), move(s.z, 2 * sizes.layers * gates)
    layers, lags = plan.layers, plan.lags
    produced = 0
    for i in range(begin - 1, end):
        total = (i & 1) * skips
        for layer in range(sizes.layers):
            first_tap, taps, first_row, mask, block, stagger = layers[layer]
            if i >= begin:
                count = (i - begin) * sizes.layers + layer + 1
                if produced < count:
                    produced = _wait(f, PRODUCED, count)
                    if produced < 0:
                        return
                if layer == 0:
                    scratch.total[total : total + skips] = 0
                # All of z is copied first: the product reads it number by number, and would wait
                # for each of its cache lines in turn.
                copy(move(s.z, ((i & 1) * sizes.layers + layer) * gates), z, sizes.g_vectors)
                kernels.add_skip(sizes, w, layer, z, 1, out, move(s.total, total))
                if layer + 1 == sizes.layers:
                    publish(move(f, SKIPPED), i - begin + 1)
            t = times[0] + i + 1
            if i + 1 < end and (t + stagger) & (block - 1) == 0:
                slot = layer * BLOCK + ((t + stagger) & (BLOCK - 1))
                kernels.precompute_older_taps(
                    sizes, w, layer, first_tap, taps, at(lags, first_tap), t, mask, block,
                    at(ring, first_row * channels), at(ahead, slot * width), s.gathered,
                )  # fmt: skip
            publish(move(f, CONSUMED), (i - begin + 1) * sizes.layers + layer + 1)
