"""The loop over time and layers as one GPU program for each stream. `reference` specifies it.

    for each step t:
        x = embedding[previous sample]           # a scalar input: the sample's value * the only row
        for each layer:
            ring[t] = x
            h = bias + older taps' rows of the ring @ conv + x @ conv's newest tap
            h += conditioning at t
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

A stream stays on one multiprocessor. Its weights pass by from the L2 cache, where all streams share
them. From layer to layer, x and h stay in registers. Only what is written here and read by other
threads needs a barrier in between: the rings, z, total, hidden and params, in that order. What a
step writes to the rings is read by the next step at the earliest, so the same barriers do for them.

The skip path waits until all layers are done. It is then one product, inside which nothing waits.

Memory, with channels filled up to powers of two by zeros; matrices are (inputs, outputs), float32
or bfloat16, everything else is float32 or an integer:

    rings          (streams, rows, R)              layer 0: t-1  t | layer 1: t-3  t-2  t-1  t | ...
                                                   row of time t: ring_start + (t & ring_mask)
    scratch        (streams, L G + S + H + N)      z of all layers | total | hidden | params
    frames         (streams, F, L, 2G)             frames around step i of a call: number
                                                   (frame offset + i) // hop, and the next
    times          (streams,)                      and the frame offsets, and the sampling's numbers
    conv           (L, T, R, 2G)                   taps oldest first
    conv_bias      (L, 2G)                         its columns, those of conv and those of frames:
                                                   one of the filter, one of the gate, and so on
    residual       (L, G, R)
    residual_bias  (L, R)
    skip           (L G, S)
    skip_bias      (S,)                            the layers' sum
    hidden         (S, H)
    hidden_bias    (H,)
    output         (H, N)
    output_bias    (N,)
    offsets        (L, T)                          how many samples back each tap reads
    ring_starts    (L,)
    ring_masks     (L,)                            a ring's length, a power of two, less one

Every stream has a program of its own and every sum a fixed order, so neither the batch nor the
number of steps in a call changes a single bit. What is known when compiling is written in capitals.

PREFETCH layers are under way at once. With 1, a layer's loads begin when the layer before it is
done. Above 1, Triton begins them while earlier layers compute, ahead of what those store. Either
way they find the same, because what a layer loads is stored in an earlier step, beyond a barrier
(the older rows of its ring), or never (weights, frames). Only a tap without weight loads the row of
the present, and any number does there.
"""

import triton
import triton.language as tl

from wavenet.audio import quantization
from wavenet.engines import kinds
from wavenet.model.distributions import mixture_mass

CATEGORICAL = tl.constexpr(kinds.CATEGORICAL)
LOGISTIC = tl.constexpr(kinds.LOGISTIC)
GAUSSIAN = tl.constexpr(kinds.GAUSSIAN)
FULL_SCALE = tl.constexpr(quantization.FULL_SCALE)
MEAN_UNIT = tl.constexpr(mixture_mass.MEAN_UNIT)
LEAST_SCALE = tl.constexpr(mixture_mass.LEAST_SCALE)
LARGEST_LOG_SCALE = tl.constexpr(mixture_mass.LARGEST_LOG_SCALE)
TWO_PI = tl.constexpr(6.283185307179586)
# 1.5 * 2^23. A float32 of this size has no fraction, so adding it rounds, halves to even.
TO_NEAREST = tl.constexpr(12582912.0)
# Codes that all others are compared with at once.
RANKED = tl.constexpr(16)


@triton.jit
def product(
    x, w, bias, y,
    INPUTS: tl.constexpr, OUTPUTS: tl.constexpr, TILE: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    """y (OUTPUTS,) = x (INPUTS,) @ w (INPUTS, OUTPUTS) + bias (OUTPUTS,), all of them pointers.

    It works in tiles of at most TILE weights.
    """
    COLUMNS: tl.constexpr = min(OUTPUTS, 256)
    # A power of two that divides the inputs.
    ROWS: tl.constexpr = min(INPUTS & -INPUTS, TILE // COLUMNS)
    rows, columns = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    tile = rows[:, None] * OUTPUTS + columns[None, :]
    for left in range(0, OUTPUTS, COLUMNS):
        total = tl.full((ROWS, COLUMNS), 0.0, tl.float32)
        for top in range(0, INPUTS, ROWS):
            weights = tl.load(w + (top * OUTPUTS + left) + tile).to(tl.float32)
            total += weights * tl.load(x + top + rows)[:, None]
        sums = tl.sum(total, 0) + tl.load(bias + left + columns)
        if RELU:
            sums = tl.maximum(sums, 0.0)
        tl.store(y + left + columns, sums)


@triton.jit
def first_above(p, noise, N: tl.constexpr):
    """The first of N weights whose cumulative sum exceeds `noise` times the sum of all.

    It is never one of weight zero.
    """
    index = tl.arange(0, N)
    cumulative = tl.cumsum(p, 0)
    above = (cumulative > noise * tl.sum(p, 0)) & (p > 0)
    first = tl.min(tl.where(above, index, N), 0)
    # Rounding may leave none above.
    last = tl.max(tl.where(p > 0, index, 0), 0)
    return tl.minimum(first, last)


@triton.jit
def keep_likeliest(
    p, logits, params, largest, scale, top_k, top_p, N: tl.constexpr, N_PARAMS: tl.constexpr
):
    """Zero all of p but the top_k likeliest codes, and of those all but the likeliest top_p.

    The second step keeps the fewest codes that hold at least top_p of what the first has left. Ties
    go to the lower code. Each code counts the likelier ones, and sums their mass: for a code among
    the top_k, all of those are among them, too.
    """
    code = tl.arange(0, N)
    rank = tl.full((N,), 0, tl.int32)
    before = tl.full((N,), 0.0, tl.float32)
    for start in range(0, N, RANKED):
        other = start + tl.arange(0, RANKED)
        others = tl.load(params + other, mask=other < N_PARAMS, other=float("-inf"))
        likelier = (others[None, :] > logits[:, None]) | (
            (others[None, :] == logits[:, None]) & (other[None, :] < code[:, None])
        )
        rank += tl.sum(likelier.to(tl.int32), 1)
        mass = tl.exp((others - largest) / scale)
        before += tl.sum(tl.where(likelier, mass[None, :], 0.0), 1)
    p = tl.where(rank < top_k, p, 0.0)
    return tl.where(before < top_p * tl.sum(p, 0), p, 0.0)


@triton.jit
def draw_categorical(
    params, noise, temperature, top_k, top_p, N: tl.constexpr, N_PARAMS: tl.constexpr
):
    """A code drawn as `Categorical.draw` does, from params (N,) and noise (1,).

    The first N_PARAMS of the params are logits.
    """
    code = tl.arange(0, N)
    logits = tl.load(params + code, mask=code < N_PARAMS, other=float("-inf"))
    largest = tl.max(logits, 0)
    scale = tl.where(temperature > 0, temperature, 1.0)
    p = tl.exp((logits - largest) / scale)
    if (top_k < N_PARAMS) | (top_p < 1):
        p = keep_likeliest(p, logits, params, largest, scale, top_k, top_p, N, N_PARAMS)
    drawn = first_above(p, tl.load(noise), N)
    likeliest = tl.min(tl.where(logits == largest, code, N - 1), 0)
    return tl.where(temperature > 0, drawn, likeliest)


@triton.jit
def draw_mixture(
    params, noise, temperature, KIND: tl.constexpr, N: tl.constexpr, N_PARAMS: tl.constexpr
):
    """A code drawn as `LogisticMixture.draw` and `GaussianMixture.draw` do.

    From params (N,), the first N_PARAMS of which are a mixture's, and noise (n_noise,).
    """
    COMPONENTS: tl.constexpr = N_PARAMS // 3
    component = tl.arange(0, N)
    real = component < COMPONENTS
    logits = tl.load(params + component, mask=real, other=float("-inf"))
    means = tl.load(params + COMPONENTS + component, mask=real, other=0.0)
    log_scales = tl.load(params + 2 * COMPONENTS + component, mask=real, other=0.0)
    scales = tl.exp(tl.minimum(log_scales, LARGEST_LOG_SCALE)) + LEAST_SCALE
    divisor = tl.where(temperature > 0, temperature, 1.0)
    p = tl.exp((logits - tl.max(logits, 0)) / divisor)
    drawn = first_above(p, tl.load(noise), N)
    heights = logits - tl.log(scales)
    highest = tl.min(tl.where(heights == tl.max(heights, 0), component, N - 1), 0)
    chosen = component == tl.where(temperature > 0, drawn, highest)
    u = tl.load(noise + 1)
    if KIND == LOGISTIC:
        standard = tl.log(u / (1.0 - u))
    elif KIND == GAUSSIAN:
        # Box and Muller's transform of two uniforms.
        standard = tl.sqrt(-2.0 * tl.log(u)) * tl.cos(tl.load(noise + 2) * TWO_PI)
    mean = tl.sum(tl.where(chosen, means, 0.0), 0)
    spread = tl.sum(tl.where(chosen, scales, 0.0), 0)
    # In units of one code.
    value = (mean * MEAN_UNIT + spread * temperature * standard) * FULL_SCALE
    clipped = tl.minimum(tl.maximum(value, -1.0 * FULL_SCALE), FULL_SCALE - 1.0)
    nearest = clipped + TO_NEAREST - TO_NEAREST
    return nearest.to(tl.int32) + FULL_SCALE


# The calls of a stream differ in these.
CHANGING = ["steps", "n_frames", "hop"]


@triton.jit(do_not_specialize=CHANGING)
def advance(
    embedding, conv, conv_bias, residual, residual_bias, skip, skip_bias,
    hidden, hidden_bias, output, output_bias, offsets, ring_starts, ring_masks,
    rings, scratch, last, codes, noise, frames,
    times, frame_offsets, temperatures, top_ks, top_ps,
    steps, n_frames, hop,
    KIND: tl.constexpr, CONDITIONED: tl.constexpr, N_NOISE: tl.constexpr, N_PARAMS: tl.constexpr,
    RING_ROWS: tl.constexpr, L: tl.constexpr, T: tl.constexpr, R: tl.constexpr, G: tl.constexpr,
    S: tl.constexpr, H: tl.constexpr, N: tl.constexpr, TILE: tl.constexpr,
    PREFETCH: tl.constexpr,
):  # fmt: skip
    """Advance a stream by `steps` samples from its own of the `times` on.

    Draws codes (streams, steps) with noise (streams, steps, N_NOISE). Of the params, N wide, the
    first N_PARAMS are predicted. Times may be given modulo a power of two that no ring is longer
    than. The first step lies a stream's frame offset after the first of its `n_frames` frames.
    """
    stream = tl.program_id(0).to(tl.int64)
    time, frame_offset = tl.load(times + stream), tl.load(frame_offsets + stream)
    temperature = tl.load(temperatures + stream)
    top_k, top_p = tl.load(top_ks + stream), tl.load(top_ps + stream)
    rings += stream * RING_ROWS * R
    scratch += stream * (L * G + S + H + N)
    z_all = scratch
    total = scratch + L * G
    hidden_out = scratch + L * G + S
    params = scratch + L * G + S + H
    codes += stream * steps
    noise += stream * steps * N_NOISE
    frames += stream * n_frames * L * 2 * G
    r, g, c = tl.arange(0, R), tl.arange(0, G), tl.arange(0, 2 * G)
    # Inputs of an older tap that are multiplied at once.
    PART: tl.constexpr = min(R, TILE // (2 * G))
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
        for layer in tl.range(0, L, num_stages=PREFETCH):
            ring = rings + tl.load(ring_starts + layer) * R
            ring_mask = tl.load(ring_masks + layer)
            taps = conv + layer * (T * R * 2 * G)
            tl.store(ring + (t & ring_mask) * R + r, x)
            older = tl.full((PART, 2 * G), 0.0, tl.float32)
            for begin in range(0, (T - 1) * R, PART):
                row = (t - tl.load(offsets + layer * T + begin // R)) & ring_mask
                past = tl.load(ring + row * R + (begin % R + part))
                older += tl.load(taps + begin * 2 * G + part_tile).to(tl.float32) * past[:, None]
            newest = tl.load(taps + (T - 1) * R * 2 * G + tap_tile).to(tl.float32)
            # Loaded this early, it is on its way while the gates are computed.
            out = tl.load(residual + layer * (G * R) + residual_tile).to(tl.float32)
            h = tl.load(conv_bias + layer * (2 * G) + c)
            if PART == R:
                # One sum over the program's threads, with its barriers, does for both.
                h += tl.sum(older + newest * x[:, None], 0)
            else:
                h += tl.sum(older, 0) + tl.sum(newest * x[:, None], 0)
            if CONDITIONED:
                frame = frames + ((frame_offset + i) // hop * L + layer) * (2 * G) + c
                low, high = tl.load(frame), tl.load(frame + L * 2 * G)
                interp_weight = ((frame_offset + i) % hop).to(tl.float32) / hop.to(tl.float32)
                h += low + interp_weight * (high - low)
            filtered, gate = tl.split(tl.reshape(h, (G, 2)))
            # tanh * sigmoid, each by way of one exponential.
            z = (1.0 - 2.0 / (tl.exp(2.0 * filtered) + 1.0)) / (1.0 + tl.exp(-gate))
            tl.store(z_all + layer * G + g, z)
            x += tl.load(residual_bias + layer * R + r) + tl.sum(out * z[:, None], 0)
        tl.debug_barrier()
        product(z_all, skip, skip_bias, total, L * G, S, TILE, True)
        tl.debug_barrier()
        product(total, hidden, hidden_bias, hidden_out, S, H, TILE, True)
        tl.debug_barrier()
        product(hidden_out, output, output_bias, params, H, N, TILE, False)
        tl.debug_barrier()
        uniforms = noise + i * N_NOISE
        if KIND == CATEGORICAL:
            code = draw_categorical(params, uniforms, temperature, top_k, top_p, N, N_PARAMS)
        else:
            code = draw_mixture(params, uniforms, temperature, KIND, N, N_PARAMS)
        tl.store(codes + i, code)
    tl.store(last + stream, code.to(tl.int64))
