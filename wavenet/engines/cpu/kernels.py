"""The loops over time and layers that run as machine code.

`engines.reference` is the specification of what they compute. The loop in words:

    for each step t:
        x = embedding[the previous sample]     (of a scalar input: its value * the table's only row)
        for each layer:
            ring[t] = x
            where a block of older taps begins at t:                                        (a)
                ahead[t ... t + block - 1] = bias + past inputs at the taps' lags @ older
            h = ahead[t] + conditioning at t + x @ newest
            z = tanh(first half of h) * sigmoid(second half)
            total += z @ skip + bias                                                        (b)
            x += z @ residual + bias
        total += the context module's output for relu(total), now and before
        params = relu(relu(total) @ hidden + bias) @ output + bias
        the sample = a draw from params

(a) The nearest of a layer's older taps reads its input d steps back (d is the dilation, as a rule).
So the sum of the older taps can be computed d steps ahead. It is computed for up to 8 steps at
once: every weight that is read from memory serves 8 times. Blocks begin at fixed times, staggered
over the layers so that all steps have equally many of them. What is computed ahead is part of the
state, so it does not matter where one call ends and the next goes on.

(b) With two threads at one stream the second takes the skip paths and the older taps: see
`pipeline`.

The memory of one stream. A row has R' channels (R filled up to whole vectors), one of `ahead` 2 G':

    ring     | layer 0: t-1  t | layer 1: t-3  t-2  t-1  t | layer 2: ...
             time t lies in row: first row of the layer + (t & length - 1)
    ahead    | layer 0: 8 rows | layer 1: 8 rows | ...
             time t lies in row: 8 * layer + (t + stagger & 7)
    frames   | frame 0: layer 0, layer 1, ... | frame 1: ...
             time t lies between frame t // hop - first and the next

Any number of streams advance together, each at its own time: they are rows of every product. Every
sum is formed in the same order whatever the number of streams, threads or steps in a call, so none
of these changes a single bit of the result.

In the functions below, `sizes` is a `Sizes`, `w` a `Weights` and `s` a `Scratch` of pointers. All
other arguments that stand for arrays are pointers too, unless a docstring says otherwise.
"""

import numpy as np

from wavenet.audio.quantization import FULL_SCALE
from wavenet.engines.cpu.panels import BLOCK, PANEL, Weights
from wavenet.engines.cpu.sampling import draw
from wavenet.engines.cpu.scratch import scratch_pointers
from wavenet.simd.vectors import (
    add,
    add_interpolated,
    copy,
    gate,
    product,
    relu,
    scale,
)
from wavenet.simd.writer import HOST, LANES, at, inlined, move, subroutine

# Products of one row with panels of 8, 4 and 2 vectors.
_one8, _one4, _one2 = product(8, 1), product(4, 1), product(2, 1)

# Products of several rows with 2 vectors: as many rows as the registers have room for, or 4.
_tall, _short = product(2, HOST.rows), product(2, 4)
_TALL, _SHORT = HOST.rows, 4


@subroutine
def weight_pointers(w):  # type: ignore[no-untyped-def]
    """Pointers to a `Weights`. Passing arrays on would count references at each call."""
    return Weights(
        at(w.embedding, 0), at(w.newest, 0), at(w.older, 0), at(w.conv_bias, 0),
        at(w.residual, 0), at(w.residual_bias, 0), at(w.skip, 0), at(w.skip_bias, 0),
        at(w.hidden, 0), at(w.hidden_bias, 0), at(w.output, 0), at(w.output_bias, 0),
        at(w.branches, 0), at(w.mean, 0), at(w.branch_bias, 0),
        at(w.project, 0), at(w.project_bias, 0),
    )  # fmt: skip


@subroutine
def _product(  # type: ignore[no-untyped-def]
    words, weights, start, start_step, x, x_step, rows, inputs, y, y_step, vectors
):
    """y (rows, vectors) = start + x (rows, inputs) @ weights, which lie in panels.

        for each panel:
            for each group of `_TALL`, then of `_SHORT` rows:
                for each pair of the panel's vectors: y = start + x @ the pair
            for each row left:
                y = start + x @ the panel

    A step is the distance from one row to the next, in numbers. `words` is that of `Sizes`.
    """
    done = 0
    while done < vectors:
        left = vectors - done
        panel = PANEL if left >= PANEL else 4 if left >= 4 else 2
        stride = panel * words
        row = 0
        while rows - row >= _SHORT:
            tall = rows - row >= _TALL
            for pair in range(0, panel, 2):
                pair_weights = move(weights, pair * words)
                column = (done + pair) * LANES
                a = move(start, row * start_step + column)
                b = move(x, row * x_step)
                c = move(y, row * y_step + column)
                if tall:
                    _tall(pair_weights, stride, a, start_step, b, x_step, inputs, c, y_step)
                else:
                    _short(pair_weights, stride, a, start_step, b, x_step, inputs, c, y_step)
            row += _TALL if tall else _SHORT
        while row < rows:
            column = done * LANES
            a = move(start, row * start_step + column)
            b = move(x, row * x_step)
            c = move(y, row * y_step + column)
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
def embed(sizes, w, code, x):  # type: ignore[no-untyped-def]
    """x = the input of the first layer for a sample with this code."""
    if sizes.scalar_input:
        value = np.float32(code - FULL_SCALE) / np.float32(FULL_SCALE)
        scale(w.embedding, value, x, sizes.r_vectors)
    else:
        copy(move(w.embedding, code * sizes.r_vectors * LANES), x, sizes.r_vectors)


@inlined
def precompute_older_taps(  # type: ignore[no-untyped-def]
    sizes, w, layer, first_tap, taps, lags, time, mask, block, ring, ahead, gathered
):
    """ahead = bias + older taps of a layer, for the block of steps that begins at `time`.

    `first_tap` counts the older taps of all layers before, `lags` are this layer's own. `ring` is
    the first row of its ring, `ahead` the first of the block's.
    """
    channels, width = sizes.r_vectors * LANES, 2 * sizes.g_vectors * LANES
    inputs = taps * sizes.r
    for step in range(block):
        for tap in range(taps):
            # This copies whole vectors, and the next tap overwrites the padding of this one.
            past = move(ring, ((time + step - lags[tap]) & mask) * channels)
            copy(past, move(gathered, step * inputs + tap * sizes.r), sizes.r_vectors)
    _product(
        sizes.words, move(w.older, first_tap * sizes.r * 2 * sizes.g_vectors * sizes.words),
        move(w.conv_bias, layer * width), 0, gathered, inputs, block, inputs,
        ahead, width, 2 * sizes.g_vectors,
    )  # fmt: skip


@inlined
def add_conditioning(sizes, layer, ahead, start, hop, frames, t, h):  # type: ignore[no-untyped-def]
    """h = ahead + conditioning of one stream at time t, whose first frame, of `start`, is given."""
    width = 2 * sizes.g_vectors * LANES
    low = move(frames, ((t - start) // hop * sizes.layers + layer) * width)
    high = move(low, sizes.layers * width)
    weight = np.float32(t % hop) / np.float32(hop)
    add_interpolated(ahead, low, high, weight, h, 2 * sizes.g_vectors)


@inlined
def gated_activation(sizes, w, layer, x, start, start_step, rows, h, z):  # type: ignore[no-untyped-def]
    """z = tanh(first half of h) * sigmoid(second half), where h = start + x @ newest."""
    width = 2 * sizes.g_vectors * LANES
    _product(
        sizes.words, move(w.newest, layer * sizes.r * 2 * sizes.g_vectors * sizes.words),
        start, start_step, x, sizes.r_vectors * LANES, rows, sizes.r,
        h, width, 2 * sizes.g_vectors,
    )  # fmt: skip
    for row in range(rows):
        filtered = move(h, row * width)
        z_row = move(z, row * sizes.g_vectors * LANES)
        gate(filtered, move(filtered, sizes.g_vectors * LANES), z_row, sizes.g_vectors)


@inlined
def add_residual(sizes, w, layer, z, rows, out, x):  # type: ignore[no-untyped-def]
    """x += z @ residual + bias."""
    _product(
        sizes.words, move(w.residual, layer * sizes.g * sizes.r_vectors * sizes.words),
        move(w.residual_bias, layer * sizes.r_vectors * LANES), 0,
        z, sizes.g_vectors * LANES, rows, sizes.g,
        out, sizes.r_vectors * LANES, sizes.r_vectors,
    )  # fmt: skip
    add(x, out, x, rows * sizes.r_vectors)


@inlined
def add_skip(sizes, w, layer, z, rows, out, total):  # type: ignore[no-untyped-def]
    """total += z @ skip + bias."""
    _product(
        sizes.words, move(w.skip, layer * sizes.g * sizes.s_vectors * sizes.words),
        move(w.skip_bias, layer * sizes.s_vectors * LANES), 0,
        z, sizes.g_vectors * LANES, rows, sizes.g,
        out, sizes.s_vectors * LANES, sizes.s_vectors,
    )  # fmt: skip
    add(total, out, total, rows * sizes.s_vectors)


@subroutine
def add_context(sizes, w, lags, times, step, rows, total, ring, sums, space, out):  # type: ignore[no-untyped-def]
    """total += the context module's output, from u = relu(total) now and before.

        t = times + step
        ring[t] = u
        sums += u - u[t - window];  mean = sums / window
        branch i = relu(u[t - lag i] and u side by side @ branches[i] + bias)
        last branch = relu(mean @ its weights + bias)
        total += all branches side by side @ project + bias

    `ring` (rows, context_rows, S') keeps u, and `sums` (rows, S') adds up a window of it.
    """
    s, p = sizes.s_vectors * LANES, sizes.p_vectors * LANES
    ring_step = sizes.context_rows * s
    means, mixed = move(space, rows * 2 * s), move(space, rows * 3 * s)
    width = (sizes.branches + 1) * p
    for row in range(rows):
        t = times[row] + step
        u = move(ring, row * ring_step + (t & (sizes.context_rows - 1)) * s)
        relu(move(total, row * s), u, sizes.s_vectors)
        leaving = move(ring, row * ring_step + ((t - sizes.window) & (sizes.context_rows - 1)) * s)
        running, mean = move(sums, row * s), move(means, row * s)
        for i in range(s):
            # In double precision: the rounding errors that float32 numbers leave behind as they
            # come and go never add up to anything.
            running[i] += np.float64(u[i]) - np.float64(leaving[i])
            mean[i] = np.float32(running[i] / sizes.window)
    for branch in range(sizes.branches):
        for row in range(rows):
            t = times[row] + step
            memory, pair = move(ring, row * ring_step), move(space, row * 2 * s)
            past = ((t - lags[branch]) & (sizes.context_rows - 1)) * s
            copy(move(memory, past), pair, sizes.s_vectors)
            # This overwrites the padding of the copy before.
            present = (t & (sizes.context_rows - 1)) * s
            copy(move(memory, present), move(pair, sizes.s), sizes.s_vectors)
        _product(
            sizes.words, move(w.branches, branch * 2 * sizes.s * sizes.p_vectors * sizes.words),
            move(w.branch_bias, branch * p), 0, space, 2 * s, rows, 2 * sizes.s,
            move(mixed, branch * p), width, sizes.p_vectors,
        )  # fmt: skip
    _product(
        sizes.words, w.mean, move(w.branch_bias, sizes.branches * p), 0, means, s, rows, sizes.s,
        move(mixed, sizes.branches * p), width, sizes.p_vectors,
    )  # fmt: skip
    relu(mixed, mixed, rows * (sizes.branches + 1) * sizes.p_vectors)
    _product(
        sizes.words, w.project, w.project_bias, 0, mixed, width, rows, width,
        out, s, sizes.s_vectors,
    )  # fmt: skip
    add(total, out, total, rows * sizes.s_vectors)


@inlined
def head(sizes, w, total, rows, hidden, predicted):  # type: ignore[no-untyped-def]
    """predicted = relu(relu(total) @ hidden + bias) @ output + bias. Changes `total` in place."""
    relu(total, total, rows * sizes.s_vectors)
    _product(
        sizes.words, w.hidden, w.hidden_bias, 0, total, sizes.s_vectors * LANES, rows, sizes.s,
        hidden, sizes.h_vectors * LANES, sizes.h_vectors,
    )  # fmt: skip
    relu(hidden, hidden, rows * sizes.h_vectors)
    _product(
        sizes.words, w.output, w.output_bias, 0, hidden, sizes.h_vectors * LANES, rows, sizes.h,
        predicted, sizes.param_vectors * LANES, sizes.param_vectors,
    )  # fmt: skip


def advance_streams(  # type: ignore[no-untyped-def]
    sizes, weights, plan, scratch, settings, ring, ahead, skips, sums, last,
    times, x, noise, params, conditioning, begin, end,
):  # fmt: skip
    """Advance all streams over steps begin ... end - 1 of x (rows, steps).

    The first column of x is at `times` (rows,). With noise (rows, steps, n_noise), x is drawn, as
    `settings` (a `DrawSettings`) says; without, x is read, and predictions are written to params
    (rows, steps, n_params).

    The streams' memory: `ring` (rows, all rings), `ahead` (rows, L, 8, 2 G'), the context module's
    `skips` (rows, ring) and `sums` (rows, S'), and each stream's last sample, `last` (rows,). Here
    they all are arrays, not pointers; those of `weights` and `scratch` are flat.
    """
    layers, lags = plan.layers, plan.lags
    w, s = weight_pointers(weights), scratch_pointers(scratch)
    rows = len(last)
    channels, width = sizes.r_vectors * LANES, 2 * sizes.g_vectors * LANES
    ring_step, ahead_step = sizes.ring_rows * channels, sizes.layers * BLOCK * width
    # Then all streams have what was computed ahead in the same place.
    in_phase = True
    for row in range(rows):
        in_phase = in_phase and (times[row] - times[0]) & (BLOCK - 1) == 0
    for i in range(begin, end):
        for row in range(rows):
            embed(sizes, w, last[row], move(s.x, row * channels))
        scratch.total[: rows * sizes.s_vectors * LANES] = 0
        for layer in range(sizes.layers):
            first_tap, taps, first_row, mask, block, stagger = layers[layer]
            for row in range(rows):
                t = times[row] + i
                slot = layer * BLOCK + ((t + stagger) & (BLOCK - 1))
                memory = at(ring, row * ring_step + first_row * channels)
                present = move(memory, (t & mask) * channels)
                copy(move(s.x, row * channels), present, sizes.r_vectors)
                if (t + stagger) & (block - 1) == 0:
                    precompute_older_taps(
                        sizes, w, layer, first_tap, taps, at(lags, first_tap), t, mask, block,
                        memory, at(ahead, row * ahead_step + slot * width), s.gathered,
                    )  # fmt: skip
            slot = layer * BLOCK + ((times[0] + i + stagger) & (BLOCK - 1))
            start, start_step = at(ahead, slot * width), ahead_step
            if conditioning.hop > 0 or not in_phase:
                for row in range(rows):
                    t = times[row] + i
                    slot = layer * BLOCK + ((t + stagger) & (BLOCK - 1))
                    older, h = at(ahead, row * ahead_step + slot * width), move(s.h, row * width)
                    if conditioning.hop > 0:
                        frames = row * conditioning.frames.shape[1] * sizes.layers * width
                        add_conditioning(
                            sizes, layer, older, conditioning.start[row], conditioning.hop,
                            at(conditioning.frames, frames), t, h,
                        )  # fmt: skip
                    else:
                        copy(older, h, 2 * sizes.g_vectors)
                start, start_step = s.h, width
            gated_activation(sizes, w, layer, s.x, start, start_step, rows, s.h, s.z)
            if layer + 1 < sizes.layers:
                add_residual(sizes, w, layer, s.z, rows, s.out, s.x)
            add_skip(sizes, w, layer, s.z, rows, s.out, s.total)
        if sizes.branches > 0:
            add_context(
                sizes, w, at(plan.context_lags, 0), at(times, 0), i, rows, s.total,
                at(skips, 0), at(sums, 0), s.context, s.out,
            )  # fmt: skip
        head(sizes, w, s.total, rows, s.hidden, s.predicted)
        for row in range(rows):
            start_of_row = row * sizes.param_vectors * LANES
            predicted = scratch.predicted[start_of_row:][: sizes.n_params]
            if noise.shape[1] > 0:
                x[row, i] = draw(predicted, noise[row, i], settings, row)
            else:
                params[row, i] = predicted
            last[row] = x[row, i]
