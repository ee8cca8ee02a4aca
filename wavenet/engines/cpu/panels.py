"""A network's weights, arranged in memory for the CPU kernels.

A matrix (inputs, outputs) is padded with zero columns to an even number of vectors and cut into
panels of 8, 4 or 2 vectors: as many sums as fit into registers. A panel holds the weights of its
outputs input by input, so that a product reads memory once, forwards:

    matrix (I, 10 vectors)      panel of 8             panel of 2
    i = 0  |aaaaaaaabb|         |aaaaaaaa| i = 0       |bb| i = 0
    i = 1  |aaaaaaaabb|   ->    |aaaaaaaa| i = 1       |bb| i = 1
    ...                         ...                    ...

In bf16 two neighbouring vectors lie in one vector of 32-bit words: the first in the low halves, the
second in the high ones. A kernel takes the whole word for the second, low half and all, which saves
an instruction. So its high half is chosen such that the *word* lies nearest to the true weight.

Inputs are never padded. Channels are, so every layer's x, z and skip sums are whole vectors whose
padding stays zero. A prime marks a padded size: R' is R filled up to whole vectors. The letters are
those of `wavenet.glossary`.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from wavenet.arithmetic import ceil_div
from wavenet.engines.weights import PackedWeights, widened, widened_halves
from wavenet.glossary import Array
from wavenet.model.conditioning.carriers import Conditioning
from wavenet.simd.writer import LANES

# Vectors of the widest panel.
PANEL = 8
# The most steps that a layer's older taps are computed ahead. A small dilation allows fewer.
BLOCK = 8
_ALIGNMENT = 64  # bytes of a cache line
_NONE = np.zeros(0, np.float32)


class Weights(NamedTuple):
    """A model's weights, each array flat with its layers one after the other.

    Inside the kernels the fields are pointers to the same arrays. `newest` is the tap that reads
    the present sample; `older` are all others of a layer, in one matrix. `branches`, `mean` and
    `project` belong to the context module, and `branch_bias` holds the mean's bias last.
    """

    embedding: Array  # (n_inputs, R')
    newest: Array  # panels (R, 2 G')
    older: Array  # panels ((T - 1) R, 2 G')
    conv_bias: Array  # (2 G')
    residual: Array  # panels (G, R')
    residual_bias: Array  # (R')
    skip: Array  # panels (G, S')
    skip_bias: Array  # (S')
    hidden: Array  # panels (S, H')
    hidden_bias: Array  # (H')
    output: Array  # panels (H, n_params')
    output_bias: Array  # (n_params')
    branches: Array = _NONE  # panels (2 S, P') of each branch
    mean: Array = _NONE  # panels (S, P')
    branch_bias: Array = _NONE  # ((branches + 1) P')
    project: Array = _NONE  # panels ((branches + 1) P', S')
    project_bias: Array = _NONE  # (S')


class Plan(NamedTuple):
    """When each layer's older taps are computed, and where its memory lies.

    A row of `layers` holds the index of the layer's first entry in `lags`; the number of its
    entries, which are its older taps, oldest first; the first row of its ring; the ring's length
    less one; the steps of a block of older taps; and the layer's stagger, by which its blocks begin
    earlier.
    """

    layers: Array  # (L, 6)
    lags: Array  # of older taps, layer by layer
    context_lags: Array  # of the context module's branches


class Sizes(NamedTuple):
    """A model's sizes: channels, and the whole vectors of LANES numbers that hold them.

    `words` is the panel memory of one vector of weights, in elements of its array: LANES, or half
    as many in bf16. `n_params` counts the numbers predicted for a sample. `branches` counts those
    of the context module without the mean, and is 0 for a network without that module.
    """

    words: int
    layers: int
    older: int  # the most older taps of a layer
    n_params: int
    scalar_input: bool
    r: int
    g: int
    s: int
    h: int
    r_vectors: int
    g_vectors: int
    s_vectors: int
    h_vectors: int
    param_vectors: int
    p_vectors: int
    branches: int
    window: int  # samples in the context module's mean
    ring_rows: int  # of one stream, all layers
    context_rows: int  # of its ring of skip sums, a power of 2


def aligned(shape: int | tuple[int, ...], dtype: type = np.float32) -> Array:
    """Zeros that start on a cache line, so that no vector lies across two lines."""
    array = _uninitialised(shape, dtype)
    array[...] = 0
    return array


def aligned_copy(array: Array) -> Array:
    """A copy that starts on a cache line."""
    copy = _uninitialised(array.shape, array.dtype.type)
    copy[...] = array
    return copy


def _uninitialised(shape: int | tuple[int, ...], dtype: type) -> Array:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    # Not np.zeros, whose memory is new to the process each time: that took four times as long.
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    array: Array = memory[start : start + size].view(dtype).reshape(shape)
    return array


def padded(channels: int) -> int:
    """Channels filled up to an even number of vectors."""
    return ceil_div(channels, 2 * LANES) * 2 * LANES


def padded_gate(g: int) -> int:
    """Channels of one half of the gate filled up to whole vectors.

    The two halves together then fill an even number of vectors.
    """
    return ceil_div(g, LANES) * LANES


def panel_sizes(vectors: int) -> list[int]:
    """Vectors in each panel of a matrix of an even number of vectors, widest panels first."""
    sizes = [PANEL] * (vectors // PANEL)
    return sizes + [size for size in (4, 2) if vectors % PANEL & size]


def panels(matrix: Array, precision: str) -> Array:
    """A matrix (inputs, outputs) as one flat array of panels.

    The outputs fill an even number of vectors. The array is float32, or in bf16 uint32 words of two
    numbers each.
    """
    stored = np.asarray(matrix, np.float32) if precision == "fp32" else bf16_pairs(matrix)
    vector = LANES * stored.shape[1] // matrix.shape[1]
    bounds = np.cumsum(panel_sizes(matrix.shape[1] // LANES))[:-1] * vector
    return np.concatenate([panel.ravel() for panel in np.split(stored, bounds, axis=1)])


def bf16_pairs(matrix: Array) -> Array:
    """Weights (..., vectors * LANES) -> words (..., vectors / 2 * LANES)."""
    bits = np.ascontiguousarray(matrix, np.float32).view(np.uint32).astype(np.int64)
    first, second = np.moveaxis(bits.reshape(*bits.shape[:-1], -1, 2, LANES), -2, 0)
    # The nearest bf16, ties to even. 0x7F7F keeps the largest finite.
    magnitude = np.minimum((first & 0x7FFFFFFF) + 0x7FFF + (first >> 16 & 1) >> 16, 0x7F7F)
    low = magnitude | first >> 16 & 0x8000
    # The high half that makes the nearest word.
    nearest = np.clip(np.rint(((second & 0x7FFFFFFF) - low) / 65536), 0, 0x7F7F)
    high = nearest.astype(np.int64) << 16
    words: Array = (second & 0x80000000 | high | low).astype(np.uint32)
    return words.reshape(*bits.shape[:-1], -1)


def from_bf16_pairs(words: Array) -> Array:
    """The float32 weights that a kernel reads in words: (..., words) -> (..., 2 * words)."""
    pairs = words.reshape(*words.shape[:-1], -1, 1, LANES)
    both: Array = np.concatenate([pairs << np.uint32(16), pairs], -2)
    return both.view(np.float32).reshape(*words.shape[:-1], -1)


def dequantised(weights: PackedWeights, precision: str) -> PackedWeights:
    """The weights that the kernels compute with, once panels have rounded them to `precision`."""
    if precision == "fp32":
        return weights
    g, pyramid = weights.out.shape[1], weights.pyramid

    def rounded_taps(taps: Array) -> Array:
        rounded = from_bf16_pairs(bf16_pairs(widened_halves(taps, padded_gate)))
        halves = rounded.reshape(*taps.shape[:2], 2, -1)
        return halves[..., :g].reshape(taps.shape)

    # The columns of the residual path and of the skip path lie in panels of their own.
    paths = np.split(weights.out, [weights.residual_channels], axis=-1)
    if pyramid is not None:
        pyramid = pyramid._replace(
            branches=_rounded(pyramid.branches),
            mean=_rounded(pyramid.mean),
            project=_rounded(pyramid.project),
        )
    return weights._replace(
        conv=tuple(rounded_taps(taps) for taps in weights.conv),
        out=np.concatenate([_rounded(path) for path in paths], -1),
        hidden=_rounded(weights.hidden),
        output=_rounded(weights.output),
        pyramid=pyramid,
    )


def _rounded(matrices: Array) -> Array:
    """Matrices (..., inputs, outputs) as they are after being packed into bf16 panels."""
    rounded = from_bf16_pairs(bf16_pairs(widened(matrices, padded)))
    return rounded[..., : matrices.shape[-1]]


def laid_out(weights: PackedWeights, precision: str) -> Weights:
    """A model's weights as the kernels read them."""
    r = weights.residual_channels

    def flat(*arrays: Array) -> Array:
        return aligned_copy(np.concatenate([a.ravel() for a in arrays]))

    def matrices(arrays: Iterable[Array]) -> Array:
        return flat(*(panels(widened(a, padded), precision) for a in arrays))

    def biases(array: Array) -> Array:
        return flat(widened(array, padded))

    conv = [widened_halves(taps, padded_gate) for taps in weights.conv]
    context = {}
    if weights.pyramid is not None:
        pyramid = weights.pyramid
        # The rows that the padding of each branch's channels is multiplied by are zeros.
        project = pyramid.project.reshape(len(pyramid.branch_bias), -1, pyramid.project.shape[1])
        project = widened(project, padded, 1)
        context = {
            "branches": matrices(pyramid.branches),
            "mean": matrices([pyramid.mean]),
            "branch_bias": biases(pyramid.branch_bias),
            "project": matrices([project.reshape(-1, project.shape[2])]),
            "project_bias": biases(pyramid.project_bias),
        }
    return Weights(
        embedding=biases(weights.embedding),
        newest=matrices(taps[-1] for taps in conv),
        older=matrices(taps[:-1].reshape(-1, taps.shape[2]) for taps in conv),
        conv_bias=flat(widened_halves(weights.conv_bias, padded_gate)),
        residual=matrices(weights.out[:, :, :r]),
        residual_bias=biases(weights.out_bias[:, :r]),
        skip=matrices(weights.out[:, :, r:]),
        skip_bias=biases(weights.out_bias[:, r:]),
        hidden=matrices([weights.hidden]),
        hidden_bias=biases(weights.hidden_bias),
        output=matrices([weights.output]),
        output_bias=biases(weights.output_bias),
        **context,
    )


def sizes(weights: PackedWeights, precision: str, ring_rows: int, scalar_input: bool) -> Sizes:
    """A model's sizes. `ring_rows` comes from `plan`."""
    r, s = weights.residual_channels, weights.hidden.shape[0]
    g, (h, n_params) = weights.out.shape[1], weights.output.shape
    pyramid = weights.pyramid
    return Sizes(
        words=LANES if precision == "fp32" else LANES // 2,
        layers=len(weights.offsets),
        older=max(map(len, weights.offsets)) - 1,
        n_params=n_params,
        scalar_input=scalar_input,
        r=r,
        g=g,
        s=s,
        h=h,
        r_vectors=padded(r) // LANES,
        g_vectors=padded_gate(g) // LANES,
        s_vectors=padded(s) // LANES,
        h_vectors=padded(h) // LANES,
        param_vectors=padded(n_params) // LANES,
        p_vectors=padded(pyramid.mean.shape[1]) // LANES if pyramid else 0,
        branches=len(pyramid.offsets) if pyramid else 0,
        window=pyramid.window if pyramid else 0,
        ring_rows=ring_rows,
        # One row more than the module reads: it also needs the sum that leaves the window now.
        context_rows=1 << (pyramid.lag + 1).bit_length() if pyramid else 0,
    )


def plan(weights: PackedWeights) -> tuple[Plan, int]:
    """When older taps are computed and where rings lie; and the rows of all rings together.

    Layers are staggered over time, so that every step has as many blocks of older taps to compute
    as any other.
    """
    layers = np.zeros((len(weights.offsets), 6), np.int64)
    lags: list[int] = []
    row = 0
    for layer, offsets in enumerate(weights.offsets):
        older = offsets[:-1]
        # What the nearest older tap reads is known as many steps ahead as its offset. A block is a
        # power of two, so that whole blocks fill `ahead`.
        block = min(BLOCK, 1 << older[-1].bit_length() - 1)
        # Rows for the oldest tap and the present, and one more: with two threads the older taps are
        # computed while the next step begins.
        length = 1 << (older[0] + 1).bit_length()
        layers[layer] = len(lags), len(older), row, length - 1, block, layer % BLOCK
        lags += older
        row += length
    context_lags = weights.pyramid.offsets if weights.pyramid else ()
    return Plan(layers, np.array(lags, np.int64), np.array(context_lags, np.int64)), row


def state_after_silence(
    weights: PackedWeights, embedding: Array, conditioning: Array
) -> tuple[Array, Array, Array]:
    """What a stream remembers after endless silence, in double precision.

    `embedding` (R,) is that of a silent sample; `conditioning` (L, 2 G) stays the same throughout.
    Returns the layers' inputs (L, R), the older taps with their bias (L, 2 G), and the relu of the
    skip sum (S,).
    """
    x = embedding.astype(np.float64)
    inputs, older, total = [], [], np.zeros(weights.hidden.shape[0])
    for conv, bias, out, out_bias, added in zip(
        weights.conv, weights.conv_bias, weights.out, weights.out_bias, conditioning, strict=True
    ):
        inputs.append(x)
        older.append(bias + x @ conv[:-1].sum(0, dtype=np.float64))
        filtered, gate = np.split(older[-1] + x @ conv[-1] + added, 2)
        # The sigmoid is written as a tanh, which does not overflow.
        z = np.tanh(filtered) * (0.5 + 0.5 * np.tanh(gate / 2))
        residual, skip = np.split(z @ out + out_bias, [len(x)])
        x, total = x + residual, total + skip
    return np.array(inputs), np.array(older), np.maximum(total, 0)


def laid_out_conditioning(conditioning: Conditioning | None, batch: int) -> Conditioning:
    """Conditioning for the kernels: each half of the gate is filled up to whole vectors.

    Every stream has its own `start`. Without any, the hop is 0.
    """
    if conditioning is None:
        none = np.zeros((batch, 0, 0, 0), np.float32)
        return Conditioning(none, np.zeros(batch, np.int64), 0)
    frames = widened_halves(np.asarray(conditioning.frames, np.float32), padded_gate)
    starts = np.array(np.broadcast_to(conditioning.start, batch), np.int64)
    return Conditioning(aligned_copy(frames), starts, conditioning.hop)
