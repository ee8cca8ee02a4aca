"""The loop over time and layers as one GPU program for each stream. `reference` says what it computes.

    for each step t:
        x = embedding[the sample before]    (or, of a scalar input, the sample's value * the table's only row)
        for each layer:
            ring[t] = x
            h = bias + what conditions say at t + older taps' rows of the ring @ conv + x @ conv's newest tap
            z[layer] = tanh(even columns of h) * sigmoid(odd columns)
            x += z[layer] @ residual + bias
        ---- barrier
        total = relu(z of all layers @ skip + bias)
        ---- barrier
        hidden = relu(total @ hidden + bias)
        ---- barrier
        params = hidden @ output + bias
        ---- barrier
        the sample = a draw from params, with the step's noise

A stream stays on one multiprocessor, its weights pass by from the L2 cache, where all streams share them. From layer to layer x and h
stay in registers. Only what is written here and read by other threads needs a barrier in between: the rings, z, total, hidden and
params, in that order. A step's ring rows are read by the next step at the earliest, so the same barriers do for them.

The skip path waits until all layers are done and then is one product, which nothing has to wait for in between.

Memory, in channels filled up to powers of two with zeros; matrices are (inputs, outputs), float32 or bfloat16, the rest float32:

    rings      (streams, rows, R)                layer 0: t-1  t | layer 1: t-3  t-2  t-1  t | ...     row of time t: first + (t & mask)
    scratch    (streams, L G + S + H + N)        z of all layers | total | hidden | params
    frames     (streams, length, L, 2G)          frames around time t: since // hop and the next, with `since` counted from the first
    conv       (L, K, R, 2G), taps oldest first; columns, as those of conv_bias and frames, by turns of the filter and the gate
    residual   (L, G, R)    residual_bias (L, R)
    skip       (L G, S)     skip_bias (S,)       the layers' sum
    hidden     (S, H)       hidden_bias (H,)     output (H, N)      output_bias (N,)

Every stream has a program of its own and every sum a fixed order, so neither the batch nor the steps in a call change a single bit.
"""

import triton
import triton.language as tl

from wavenet.audio import quantization
from wavenet.model.distributions import mixture_mass

CATEGORICAL, LOGISTIC, GAUSSIAN = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)
KINDS = {"categorical": 0, "logistic": 1, "gaussian": 2}
FULL_SCALE = tl.constexpr(quantization.FULL_SCALE)
MEAN_UNIT = tl.constexpr(mixture_mass.MEAN_UNIT)
LEAST_SCALE = tl.constexpr(mixture_mass.LEAST_SCALE)
LARGEST_LOG_SCALE = tl.constexpr(mixture_mass.LARGEST_LOG_SCALE)
TWO_PI = tl.constexpr(6.283185307179586)
TO_NEAREST = tl.constexpr(
    12582912.0
)  # 1.5 * 2^23: a float32 of this size has no fraction, so adding it rounds, halves to even
RANKED = tl.constexpr(16)  # codes that all others are compared with at once


@triton.jit
def product(
    x,
    w,
    bias,
    y,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    TILE: tl.constexpr,
    relu: tl.constexpr,
):
    """y (OUTPUTS,) = x (INPUTS,) @ w (INPUTS, OUTPUTS) + bias, in tiles of at most TILE weights. Pointers all."""
    COLUMNS: tl.constexpr = min(OUTPUTS, 256)
    ROWS: tl.constexpr = min(INPUTS & -INPUTS, TILE // COLUMNS)  # a power of two that divides them
    rows, columns = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    tile = rows[:, None] * OUTPUTS + columns[None, :]
    for left in range(0, OUTPUTS, COLUMNS):
        total = tl.full((ROWS, COLUMNS), 0.0, tl.float32)
        for top in range(0, INPUTS, ROWS):
            weights = tl.load(w + (top * OUTPUTS + left) + tile).to(tl.float32)
            total += weights * tl.load(x + top + rows)[:, None]
        sums = tl.sum(total, 0) + tl.load(bias + left + columns)
        if relu:
            sums = tl.maximum(sums, 0.0)
        tl.store(y + left + columns, sums)


@triton.jit
def walk(p, noise, N: tl.constexpr):
    """The first of N weights that, with all those before, passes `noise` of the whole; never one of weight zero."""
    index = tl.arange(0, N)
    cumulative = tl.cumsum(p, 0)
    passes = (cumulative > noise * tl.sum(p, 0)) & (p > 0)
    first = tl.min(tl.where(passes, index, N), 0)
    last = tl.max(tl.where(p > 0, index, 0), 0)
    return tl.minimum(first, last)  # rounding may leave none that passes


@triton.jit
def keep_likeliest(
    p, logits, params, most, scale, top_k, top_p, N: tl.constexpr, COUNT: tl.constexpr
):
    """Zero all but the top_k largest of p, and of those all but the fewest that hold top_p of what is left. Ties go to the lower code.

    Each code counts those before it, and their mass: of a code among the top_k, all of those are, too.
    """
    code = tl.arange(0, N)
    rank = tl.full((N,), 0, tl.int32)
    before = tl.full((N,), 0.0, tl.float32)
    for start in range(0, N, RANKED):
        other = start + tl.arange(0, RANKED)
        others = tl.load(params + other, mask=other < COUNT, other=float("-inf"))
        likelier = (others[None, :] > logits[:, None]) | (
            (others[None, :] == logits[:, None]) & (other[None, :] < code[:, None])
        )
        rank += tl.sum(likelier.to(tl.int32), 1)
        before += tl.sum(tl.where(likelier, tl.exp((others - most) / scale)[None, :], 0.0), 1)
    p = tl.where(rank < top_k, p, 0.0)
    return tl.where(before < top_p * tl.sum(p, 0), p, 0.0)


@triton.jit
def draw_categorical(
    params, noise, temperature, top_k, top_p, N: tl.constexpr, COUNT: tl.constexpr
):
    """As `Categorical.draw` says: params (N,), of which COUNT are logits; noise (1,)."""
    code = tl.arange(0, N)
    logits = tl.load(params + code, mask=code < COUNT, other=float("-inf"))
    most = tl.max(logits, 0)
    scale = tl.where(temperature > 0, temperature, 1.0)
    p = tl.exp((logits - most) / scale)
    if (top_k < COUNT) | (top_p < 1):
        p = keep_likeliest(p, logits, params, most, scale, top_k, top_p, N, COUNT)
    drawn = walk(p, tl.load(noise), N)
    likeliest = tl.min(tl.where(logits == most, code, N - 1), 0)
    return tl.where(temperature > 0, drawn, likeliest)


@triton.jit
def draw_mixture(
    params, noise, temperature, KIND: tl.constexpr, N: tl.constexpr, COUNT: tl.constexpr
):
    """As `LogisticMixture.draw` and `GaussianMixture.draw` say: params (N,), of which COUNT are a mixture's; noise (n_noise,)."""
    K: tl.constexpr = COUNT // 3
    component = tl.arange(0, N)
    logits = tl.load(params + component, mask=component < K, other=float("-inf"))
    means = tl.load(params + K + component, mask=component < K, other=0.0)
    log_scales = tl.load(params + 2 * K + component, mask=component < K, other=0.0)
    scales = tl.exp(tl.minimum(log_scales, LARGEST_LOG_SCALE)) + LEAST_SCALE
    drawn = walk(
        tl.exp((logits - tl.max(logits, 0)) / tl.where(temperature > 0, temperature, 1.0)),
        tl.load(noise),
        N,
    )
    heights = logits - tl.log(scales)
    highest = tl.min(tl.where(heights == tl.max(heights, 0), component, N - 1), 0)
    chosen = component == tl.where(temperature > 0, drawn, highest)
    u = tl.load(noise + 1)
    if KIND == LOGISTIC:
        standard = tl.log(u / (1.0 - u))
    else:
        standard = tl.sqrt(-2.0 * tl.log(u)) * tl.cos(tl.load(noise + 2) * TWO_PI)
    mean, spread = tl.sum(tl.where(chosen, means, 0.0), 0), tl.sum(tl.where(chosen, scales, 0.0), 0)
    steps = (mean * MEAN_UNIT + spread * temperature * standard) * FULL_SCALE
    nearest = (
        tl.minimum(tl.maximum(steps, -1.0 * FULL_SCALE), FULL_SCALE - 1.0) + TO_NEAREST - TO_NEAREST
    )
    return nearest.to(tl.int32) + FULL_SCALE


@triton.jit(
    do_not_specialize=["time", "steps", "length", "since", "hop", "temperature", "top_k", "top_p"]
)
def advance(
    embedding, conv, conv_bias, residual, residual_bias, skip, skip_bias, hidden, hidden_bias, output, output_bias,
    backs, firsts, masks, rings, scratch, last, x_out, noise, frames,
    time, steps, length, since, hop, temperature, top_k, top_p,
    KIND: tl.constexpr, CONDITIONED: tl.constexpr, N_NOISE: tl.constexpr, COUNT: tl.constexpr,
    ROWS_OF_RINGS: tl.constexpr, L: tl.constexpr, K: tl.constexpr, R: tl.constexpr, G: tl.constexpr,
    S: tl.constexpr, H: tl.constexpr, N: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Advance a stream by `steps` samples from `time` on: draw codes x_out (streams, steps) with noise (streams, steps, N_NOISE).

    Of the params, N wide, the first COUNT are predicted. `time` may be given modulo a power of two that no ring is longer than.
    """
    stream = tl.program_id(0).to(tl.int64)
    rings += stream * ROWS_OF_RINGS * R
    scratch += stream * (L * G + S + H + N)
    z_of_all, total, hidden_out, params = (
        scratch,
        scratch + L * G,
        scratch + L * G + S,
        scratch + L * G + S + H,
    )
    x_out += stream * steps
    noise += stream * steps * N_NOISE
    frames += stream * length * L * 2 * G
    r, g, c = tl.arange(0, R), tl.arange(0, G), tl.arange(0, 2 * G)
    PART: tl.constexpr = min(R, TILE // (2 * G))  # of an older tap's inputs, at once
    part = tl.arange(0, PART)
    part_tile = part[:, None] * (2 * G) + c[None, :]
    tap_tile = r[:, None] * (2 * G) + c[None, :]
    residual_tile = g[:, None] * R + r[None, :]
    code = tl.load(last + stream).to(tl.int32)
    for i in range(steps):
        t = time + i
        if KIND == CATEGORICAL:
            x = tl.load(embedding + code * R + r)
        else:
            x = tl.load(embedding + r) * ((code - FULL_SCALE).to(tl.float32) / FULL_SCALE)
        for layer in range(L):
            ring, mask = rings + tl.load(firsts + layer) * R, tl.load(masks + layer)
            taps = conv + layer * (K * R * 2 * G)
            tl.store(ring + (t & mask) * R + r, x)
            heard = tl.full((PART, 2 * G), 0.0, tl.float32)
            for begin in range(0, (K - 1) * R, PART):
                row = (t - tl.load(backs + layer * K + begin // R)) & mask
                older = tl.load(ring + row * R + (begin % R + part))
                heard += tl.load(taps + begin * 2 * G + part_tile).to(tl.float32) * older[:, None]
            newest = tl.load(taps + (K - 1) * R * 2 * G + tap_tile).to(tl.float32)
            out = tl.load(residual + layer * (G * R) + residual_tile).to(
                tl.float32
            )  # on its way while the gates are computed
            h = tl.load(conv_bias + layer * (2 * G) + c)
            if PART == R:  # one sum over the program's threads, and its barriers, for both
                h += tl.sum(heard + newest * x[:, None], 0)
            else:
                h += tl.sum(heard, 0) + tl.sum(newest * x[:, None], 0)
            if CONDITIONED:
                told = frames + ((since + i) // hop * L + layer) * (2 * G) + c
                low, high = tl.load(told), tl.load(told + L * 2 * G)
                h += low + ((since + i) % hop).to(tl.float32) / hop.to(tl.float32) * (high - low)
            filtered, opening = tl.split(tl.reshape(h, (G, 2)))
            z = (1.0 - 2.0 / (tl.exp(2.0 * filtered) + 1.0)) / (
                1.0 + tl.exp(-opening)
            )  # the first factor is tanh
            tl.store(z_of_all + layer * G + g, z)
            x += tl.load(residual_bias + layer * R + r) + tl.sum(out * z[:, None], 0)
        tl.debug_barrier()
        product(z_of_all, skip, skip_bias, total, L * G, S, TILE, True)
        tl.debug_barrier()
        product(total, hidden, hidden_bias, hidden_out, S, H, TILE, True)
        tl.debug_barrier()
        product(hidden_out, output, output_bias, params, H, N, TILE, False)
        tl.debug_barrier()
        if KIND == CATEGORICAL:
            code = draw_categorical(
                params, noise + i * N_NOISE, temperature, top_k, top_p, N, COUNT
            )
        else:
            code = draw_mixture(params, noise + i * N_NOISE, temperature, KIND, N, COUNT)
        tl.store(x_out + i, code)
    tl.store(last + stream, code.to(tl.int64))
