"""The loops over time and layers that run as machine code. `reference` says what they compute.

    for each step t:
        x = embedding[the sample before]    (or, of a scalar input, the sample's value * the table's only row)
        for each layer:
            ring[t] = x
            where a block of older taps begins at t:                                        (a)
                ahead[t ... t + block - 1] = bias + older taps @ what they hear
            h = ahead[t] + what conditions say at t + x @ newest
            z = tanh(first half of h) * sigmoid(second half)
            total += z @ skip + bias                                                        (b)
            x += z @ residual + bias
        total += what the context module makes of relu(total), now and before
        logits = relu(relu(total) @ hidden + bias) @ output + bias
        the sample = a draw from logits

(a) A layer whose nearest older tap hears d steps back, its dilation as a rule, knows its older taps d steps ahead. They
are computed for up to 8 steps at once: every weight read from memory serves 8 times. Blocks begin at fixed times, staggered over
the layers so that each step has an equal share of them, and what is computed ahead is part of the state: where a call ends and the
next goes on changes nothing.

(b) With two threads at one stream the skips and the older taps move to the second: see `pipeline`.

Memory of one stream, in rows of R' channels (R filled up to whole vectors), and of 2 G' for `ahead`:

    ring    | layer 0: t-1  t | layer 1: t-3  t-2  t-1  t | layer 2: ...          row of time t: first + (t & length - 1)
    ahead   | layer 0: 8 rows | layer 1: 8 rows | ...                             row of time t: t + phase & 7
    told    | frame 0: layer 0, layer 1, ... | frame 1: ...                       frames around time t: t // hop - first, and the next

Any number of streams advance together, each row of a product one of them. Every sum is formed in the same order whatever the number
of streams, threads or steps in a call, so none of these changes a single bit of the result.
"""

from typing import NamedTuple

import numpy as np

from wavenet.arrays import Array
from wavenet.audio.quantization import FULL_SCALE
from wavenet.engines.cpu.panels import BLOCK, PANEL, Sizes, Weights, aligned
from wavenet.engines.cpu.sampling import draw
from wavenet.engines.cpu.vectors import (
    HOST,
    LANES,
    add,
    at,
    between,
    copy,
    gate,
    inlined,
    move,
    part,
    product,
    relu,
    scaled,
)

# products of 8, 4 and 2 vectors with one row; and of 2 vectors with as many rows as registers hold
_one8, _one4, _one2 = product(8, 1), product(4, 1), product(2, 1)
_tall, _short = product(2, HOST.rows), product(2, 4)
_TALL, _SHORT = HOST.rows, 4


class Scratch(NamedTuple):
    """Memory for one step of `rows` streams, flat. Inside the kernels, pointers to the same."""

    x: Array  # (rows, R')
    h: Array  # (rows, 2 G')
    z: Array  # (2, L, rows, G'): of this step and, for `trail`, of the one before; and one for itself
    out: Array  # (2, rows, the wider of R' and S'), one for each of two threads
    total: Array  # (2, rows, S'), likewise
    hidden: Array  # (rows, H')
    logits: Array  # (rows, levels'): what is predicted
    heard: Array  # (8, the most older taps' R), and room for the last copy's padding
    context: Array  # (rows, 2 S' + S' + all branches' P'): what two taps hear; the mean; what the branches make of it


class KernelConditioning(NamedTuple):
    """Conditions, as `Cond`; hop is 0 when there are none."""

    frames: Array  # (rows, length, L, 2 G')
    first: int
    hop: int
    length: int


def scratch(n: Sizes, rows: int) -> Scratch:
    r, g, s, h, levels = (
        v * LANES for v in (n.r_vectors, n.g_vectors, n.s_vectors, n.h_vectors, n.level_vectors)
    )
    counts = (r, 2 * g, (2 * n.layers + 1) * g, 2 * max(r, s), 2 * s, h, levels)
    context = rows * (3 * s + (n.branches + 1) * n.p_vectors * LANES) if n.branches else 0
    return Scratch._make(
        [
            *(aligned(rows * count) for count in counts),
            aligned(BLOCK * n.older * n.r + r),
            aligned(context),
        ]
    )


@part
def weight_pointers(w):  # type: ignore[no-untyped-def]
    """Pointers can be handed on at no cost; handing on arrays would count references each time."""
    return Weights(
        at(w.embedding, 0), at(w.newest, 0), at(w.older, 0), at(w.conv_bias, 0), at(w.residual, 0), at(w.residual_bias, 0),
        at(w.skip, 0), at(w.skip_bias, 0), at(w.hidden, 0), at(w.hidden_bias, 0), at(w.output, 0), at(w.output_bias, 0),
        at(w.branches, 0), at(w.mean, 0), at(w.branch_bias, 0), at(w.project, 0), at(w.project_bias, 0),
    )  # fmt: skip


@part
def scratch_pointers(s):  # type: ignore[no-untyped-def]
    return Scratch(
        at(s.x, 0), at(s.h, 0), at(s.z, 0), at(s.out, 0), at(s.total, 0), at(s.hidden, 0), at(s.logits, 0), at(s.heard, 0),
        at(s.context, 0),
    )  # fmt: skip


@part
def _product(words, weights, start, start_step, x, x_step, rows, inputs, y, y_step, vectors):  # type: ignore[no-untyped-def]
    """y (rows, vectors) = start + x (rows, inputs) @ panels. Pointers all; steps lead from row to row; words: see `Sizes`."""
    done = 0
    while done < vectors:
        left = vectors - done
        panel = PANEL if left >= PANEL else 4 if left >= 4 else 2
        stride = panel * words
        row = 0
        while rows - row >= _SHORT:
            tall = rows - row >= _TALL
            for sub in range(0, panel, 2):
                w, to = move(weights, sub * words), (done + sub) * LANES
                a, b, c = (
                    move(start, row * start_step + to),
                    move(x, row * x_step),
                    move(y, row * y_step + to),
                )
                if tall:
                    _tall(w, stride, a, start_step, b, x_step, inputs, c, y_step)
                else:
                    _short(w, stride, a, start_step, b, x_step, inputs, c, y_step)
            row += _TALL if tall else _SHORT
        while row < rows:
            to = done * LANES
            a, b, c = (
                move(start, row * start_step + to),
                move(x, row * x_step),
                move(y, row * y_step + to),
            )
            if panel == PANEL:
                _one8(weights, stride, a, start_step, b, x_step, inputs, c, y_step)
            elif panel == 4:
                _one4(weights, stride, a, start_step, b, x_step, inputs, c, y_step)
            else:
                _one2(weights, stride, a, start_step, b, x_step, inputs, c, y_step)
            row += 1
        weights = move(weights, inputs * stride)
        done += panel


@inlined
def gather_taps(n, w, code, x):  # type: ignore[no-untyped-def]
    """x = what the input table makes of a sample."""
    if n.scalar_input:
        scaled(w.embedding, np.float32(code - FULL_SCALE) / np.float32(FULL_SCALE), x, n.r_vectors)
    else:
        copy(move(w.embedding, code * n.r_vectors * LANES), x, n.r_vectors)


@inlined
def precompute_older_taps(n, w, layer, first, taps, backs, time, mask, block, ring, ahead, heard):  # type: ignore[no-untyped-def]
    """Compute a layer's older taps for the block of steps that begins at `time`.

    first: how many older taps the layers before have; backs: what its own hear; ring: its first row; ahead: the block's first row.
    """
    channels, width, inputs = n.r_vectors * LANES, 2 * n.g_vectors * LANES, taps * n.r
    for step in range(block):
        for tap in range(taps):
            # whole vectors; the next tap overwrites this one's padding
            copy(
                move(ring, (time + step - backs[tap] & mask) * channels),
                move(heard, step * inputs + tap * n.r),
                n.r_vectors,
            )
    _product(
        n.words, move(w.older, first * n.r * 2 * n.g_vectors * n.words), move(w.conv_bias, layer * width), 0,
        heard, inputs, block, inputs, ahead, width, 2 * n.g_vectors,
    )  # fmt: skip


@inlined
def conditioned(n, layer, ahead, told, frames, t, h):  # type: ignore[no-untyped-def]
    """h = what the older taps added up to + what one stream is told at time t. frames: its first."""
    width = 2 * n.g_vectors * LANES
    low = move(frames, ((t // told.hop - told.first) * n.layers + layer) * width)
    between(
        ahead,
        low,
        move(low, n.layers * width),
        np.float32(t % told.hop) / np.float32(told.hop),
        h,
        2 * n.g_vectors,
    )


@inlined
def gated(n, w, layer, x, start, start_step, rows, h, z):  # type: ignore[no-untyped-def]
    """z = gate(start + x @ newest), of all rows."""
    width = 2 * n.g_vectors * LANES
    _product(
        n.words, move(w.newest, layer * n.r * 2 * n.g_vectors * n.words), start, start_step,
        x, n.r_vectors * LANES, rows, n.r, h, width, 2 * n.g_vectors,
    )  # fmt: skip
    for row in range(rows):
        gate(
            move(h, row * width),
            n.g_vectors * LANES,
            move(z, row * n.g_vectors * LANES),
            n.g_vectors,
        )


@inlined
def residual(n, w, layer, z, rows, out, x):  # type: ignore[no-untyped-def]
    """x += z @ residual + bias."""
    _product(
        n.words, move(w.residual, layer * n.g * n.r_vectors * n.words), move(w.residual_bias, layer * n.r_vectors * LANES), 0,
        z, n.g_vectors * LANES, rows, n.g, out, n.r_vectors * LANES, n.r_vectors,
    )  # fmt: skip
    add(x, out, x, rows * n.r_vectors)


@inlined
def skip(n, w, layer, z, rows, out, total):  # type: ignore[no-untyped-def]
    """total += z @ skip + bias."""
    _product(
        n.words, move(w.skip, layer * n.g * n.s_vectors * n.words), move(w.skip_bias, layer * n.s_vectors * LANES), 0,
        z, n.g_vectors * LANES, rows, n.g, out, n.s_vectors * LANES, n.s_vectors,
    )  # fmt: skip
    add(total, out, total, rows * n.s_vectors)


@part
def context(n, w, backs, t, rows, total, ring, sums, space, out):  # type: ignore[no-untyped-def]
    """total += what the context module makes of relu(total), now and before; `ring` keeps it, `sums` adds up a window of it."""
    s, wide, p = n.s_vectors * LANES, n.context_rows * n.s_vectors * LANES, n.p_vectors * LANES
    means, mixed, width = move(space, rows * 2 * s), move(space, rows * 3 * s), (n.branches + 1) * p
    for row in range(rows):
        now = move(ring, row * wide + (t & n.context_rows - 1) * s)
        copy(move(total, row * s), now, n.s_vectors)
        relu(now, n.s_vectors)
        gone, running, mean = (
            move(ring, row * wide + (t - n.window & n.context_rows - 1) * s),
            move(sums, row * s),
            move(means, row * s),
        )
        for i in range(
            s
        ):  # in double precision: what float32 numbers leave behind as they come and go never adds up to anything
            running[i] += np.float64(now[i]) - np.float64(gone[i])
            mean[i] = np.float32(running[i] / n.window)
    for branch in range(n.branches):
        for row in range(rows):
            memory, pair = move(ring, row * wide), move(space, row * 2 * s)
            copy(move(memory, (t - backs[branch] & n.context_rows - 1) * s), pair, n.s_vectors)
            copy(
                move(memory, (t & n.context_rows - 1) * s), move(pair, n.s), n.s_vectors
            )  # over the padding of what lies before
        _product(
            n.words, move(w.branches, branch * 2 * n.s * n.p_vectors * n.words), move(w.branch_bias, branch * p), 0,
            space, 2 * s, rows, 2 * n.s, move(mixed, branch * p), width, n.p_vectors,
        )  # fmt: skip
    _product(
        n.words, w.mean, move(w.branch_bias, n.branches * p), 0, means, s, rows, n.s, move(mixed, n.branches * p), width, n.p_vectors
    )  # fmt: skip
    relu(mixed, rows * (n.branches + 1) * n.p_vectors)
    _product(n.words, w.project, w.project_bias, 0, mixed, width, rows, width, out, s, n.s_vectors)
    add(total, out, total, rows * n.s_vectors)


@inlined
def head(n, w, total, rows, hidden, logits):  # type: ignore[no-untyped-def]
    relu(total, rows * n.s_vectors)
    _product(
        n.words, w.hidden, w.hidden_bias, 0, total, n.s_vectors * LANES, rows, n.s, hidden, n.h_vectors * LANES, n.h_vectors
    )  # fmt: skip
    relu(hidden, rows * n.h_vectors)
    _product(
        n.words, w.output, w.output_bias, 0, hidden, n.h_vectors * LANES, rows, n.h, logits, n.level_vectors * LANES, n.level_vectors
    )  # fmt: skip


def advance_streams(
    n,
    weights,
    plan,
    work,
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
    """Advance streams over steps begin ... end - 1 of x (rows, steps), whose first column is at `time`.

    With noise (rows, steps, n_noise), draw x; without, x is given and predictions go to params (rows, steps, levels). ring (rows, all
    rings), ahead (rows, L, 8, 2 G'), and the context module's skips (rows, ring) and sums (rows, S') are the streams' memory; last (rows)
    their last samples.
    """
    layers, backs = plan.layers, plan.backs
    w, s = weight_pointers(weights), scratch_pointers(work)
    rows, channels, width = len(last), n.r_vectors * LANES, 2 * n.g_vectors * LANES
    ring_step, ahead_step = n.ring_rows * channels, n.layers * BLOCK * width
    for i in range(begin, end):
        t = time + i
        for row in range(rows):
            gather_taps(n, w, last[row], move(s.x, row * channels))
        work.total[: rows * n.s_vectors * LANES] = 0
        for layer in range(n.layers):
            older, taps, first, mask, block, phase = layers[layer]
            slot = layer * BLOCK + (t + phase & BLOCK - 1)
            for row in range(rows):
                memory = at(ring, row * ring_step + first * channels)
                copy(move(s.x, row * channels), move(memory, (t & mask) * channels), n.r_vectors)
                if t + phase & block - 1 == 0:
                    to = at(ahead, row * ahead_step + slot * width)
                    precompute_older_taps(
                        n,
                        w,
                        layer,
                        older,
                        taps,
                        at(backs, older),
                        t,
                        mask,
                        block,
                        memory,
                        to,
                        s.heard,
                    )
            start, start_step = at(ahead, slot * width), ahead_step
            if told.hop > 0:
                for row in range(rows):
                    frames = at(told.frames, row * told.length * n.layers * width)
                    conditioned(
                        n,
                        layer,
                        move(start, row * ahead_step),
                        told,
                        frames,
                        t,
                        move(s.h, row * width),
                    )
                start, start_step = s.h, width
            gated(n, w, layer, s.x, start, start_step, rows, s.h, s.z)
            if layer + 1 < n.layers:
                residual(n, w, layer, s.z, rows, s.out, s.x)
            skip(n, w, layer, s.z, rows, s.out, s.total)
        if n.branches > 0:
            context(
                n,
                w,
                at(plan.context, 0),
                t,
                rows,
                s.total,
                at(skips, 0),
                at(sums, 0),
                s.context,
                s.out,
            )
        head(n, w, s.total, rows, s.hidden, s.logits)
        for row in range(rows):
            logits = work.logits[row * n.level_vectors * LANES :][: n.levels]
            if noise.shape[1] > 0:
                x[row, i] = draw(logits, noise[row, i], how)
            else:
                params[row, i] = logits
            last[row] = x[row, i]
