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

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from wavenet.engines.cpu.vectors import LANES
from wavenet.engines.weights import PackedPyramid, PackedWeights
from wavenet.glossary import Array

# Vectors of the widest panel.
PANEL = 8
# The most steps that a layer's older taps are computed ahead. A small dilation allows fewer.
BLOCK = 8
_ALIGNMENT = 64  # bytes of a cache line


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
    branches: Array  # panels (2 S, P') of each branch
    mean: Array  # panels (S, P')
    branch_bias: Array  # ((branches + 1) P')
    project: Array  # panels ((branches + 1) P', S')
    project_bias: Array  # (S')


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
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    array: Array = memory[start : start + size].view(dtype).reshape(shape)
    return array


def aligned_copy(array: Array) -> Array:
    """A copy that starts on a cache line."""
    copy = aligned(array.shape, array.dtype.type)
    copy[...] = array
    return copy


def padded(channels: int) -> int:
    """Channels filled up to an even number of vectors."""
    return -(-channels // (2 * LANES)) * 2 * LANES


def _fill_up(array: Array, channels: int) -> Array:
    """The last axis filled up with zeros to `channels`."""
    zeros = np.zeros((*array.shape[:-1], channels - array.shape[-1]), array.dtype)
    return np.concatenate([array, zeros], -1)


def panel_sizes(vectors: int) -> list[int]:
    """Vectors in each panel of a matrix of an even number of vectors, widest panels first."""
    sizes = [PANEL] * (vectors // PANEL)
    return sizes + [size for size in (4, 2) if vectors % PANEL & size]


def panels(matrix: Array, precision: str) -> Array:
    """A matrix (inputs, outputs) as one flat array of panels.

    The outputs fill an even number of vectors. The array is float32, or in bf16 uint32 words of two
    numbers each.
    """
    pieces = []
    first = 0
    for size in panel_sizes(matrix.shape[1] // LANES):
        panel = np.ascontiguousarray(matrix[:, first : first + size * LANES], np.float32)
        pieces.append((panel if precision == "fp32" else bf16_pairs(panel)).ravel())
        first += size * LANES
    return np.concatenate(pieces)


def bf16_pairs(panel: Array) -> Array:
    """float32 (inputs, vectors * LANES) -> words (inputs, vectors / 2 * LANES)."""
    pairs = panel.reshape(len(panel), -1, 2, LANES)
    low = _bf16(pairs[:, :, 0])
    bits = np.ascontiguousarray(pairs[:, :, 1]).view(np.uint32).astype(np.int64)
    magnitude, sign = bits & 0x7FFFFFFF, bits & 0x80000000
    # The high half that makes the nearest word. 0x7F7F keeps the largest finite.
    nearest = np.clip(np.rint((magnitude - low) / 65536), 0, 0x7F7F)
    high = nearest.astype(np.int64) << 16
    return (sign | high | low).astype(np.uint32).reshape(len(panel), -1)


def from_bf16_pairs(words: Array) -> Array:
    """The float32 weights that a kernel reads in words: (inputs, words) -> (inputs, 2 * words)."""
    pairs = words.reshape(len(words), -1, 1, LANES)
    both = np.concatenate([pairs << np.uint32(16), pairs], 2)
    return both.view(np.float32).reshape(len(words), -1)


def _bf16(array: Array) -> Array:
    """The upper 16 bits of the nearest bf16, ties to even, as int64. The largest stays finite."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.int64)
    magnitude = np.minimum((bits & 0x7FFFFFFF) + 0x7FFF + (bits >> 16 & 1) >> 16, 0x7F7F)
    nearest: Array = magnitude | bits >> 16 & 0x8000
    return nearest


def dequantised(weights: PackedWeights, precision: str) -> PackedWeights:
    """The weights that the kernels compute with, once panels have rounded them to `precision`."""
    if precision == "fp32":
        return weights

    g, r = weights.out.shape[1], weights.residual_channels

    def rounded_tap(tap: Array) -> Array:
        filled_up = _resize_halves(tap, g, padded_gate(g))
        return _resize_halves(_rounded(filled_up), padded_gate(g), g)

    def rounded_out(matrix: Array) -> Array:
        # The columns of the residual path and of the skip path lie in panels of their own.
        residual, skip = np.split(matrix, [r], axis=1)
        return np.concatenate([_rounded(residual), _rounded(skip)], 1)

    pyramid = weights.pyramid
    if pyramid is not None:
        pyramid = pyramid._replace(
            branches=np.stack([_rounded(branch) for branch in pyramid.branches]),
            mean=_rounded(pyramid.mean),
            project=_rounded(pyramid.project),
        )
    return weights._replace(
        conv=tuple(np.stack([rounded_tap(tap) for tap in taps]) for taps in weights.conv),
        out=np.stack([rounded_out(matrix) for matrix in weights.out]),
        hidden=_rounded(weights.hidden),
        output=_rounded(weights.output),
        pyramid=pyramid,
    )


def _rounded(matrix: Array) -> Array:
    """A matrix (inputs, outputs) as it is after being packed into bf16 panels."""
    outputs = matrix.shape[1]
    filled_up = _fill_up(matrix, padded(outputs))
    pieces = []
    first = 0
    for size in panel_sizes(filled_up.shape[1] // LANES):
        panel = np.ascontiguousarray(filled_up[:, first : first + size * LANES], np.float32)
        pieces.append(from_bf16_pairs(bf16_pairs(panel)))
        first += size * LANES
    return np.concatenate(pieces, 1)[:, :outputs]


def padded_gate(g: int) -> int:
    """Channels of one half of the gate filled up to whole vectors.

    The two halves together then fill an even number of vectors.
    """
    return -(-g // LANES) * LANES


def _resize_halves(array: Array, old: int, new: int) -> Array:
    """Both halves of the last axis, each cut or filled up with zeros, `old` to `new` channels."""
    first, second = array[..., :old], array[..., old:]
    if new > old:
        return np.concatenate([_fill_up(first, new), _fill_up(second, new)], -1)
    return np.concatenate([first[..., :new], second[..., :new]], -1)


def laid_out(weights: PackedWeights, precision: str) -> Weights:
    """A model's weights as the kernels read them."""
    r, s = weights.residual_channels, weights.hidden.shape[0]
    g, (h, n_params) = weights.out.shape[1], weights.output.shape
    padded_r, padded_g, padded_s = padded(r), padded_gate(g), padded(s)
    padded_h, padded_params = padded(h), padded(n_params)

    def flat(arrays: list[Array]) -> Array:
        return aligned_copy(np.concatenate([np.ascontiguousarray(a).ravel() for a in arrays]))

    def matrices(arrays: list[Array], width: int) -> Array:
        return flat([panels(_fill_up(a, width), precision) for a in arrays])

    conv = [_resize_halves(taps, g, padded_g) for taps in weights.conv]
    older = [taps[:-1].reshape(-1, 2 * padded_g) for taps in conv]
    return Weights(
        embedding=flat([_fill_up(weights.embedding, padded_r)]),
        newest=matrices([taps[-1] for taps in conv], 2 * padded_g),
        older=matrices(older, 2 * padded_g),
        conv_bias=flat([_resize_halves(weights.conv_bias, g, padded_g)]),
        residual=matrices([m[:, :r] for m in weights.out], padded_r),
        residual_bias=flat([_fill_up(weights.out_bias[:, :r], padded_r)]),
        skip=matrices([m[:, r:] for m in weights.out], padded_s),
        skip_bias=flat([_fill_up(weights.out_bias[:, r:], padded_s)]),
        hidden=matrices([weights.hidden], padded_h),
        hidden_bias=flat([_fill_up(weights.hidden_bias, padded_h)]),
        output=matrices([weights.output], padded_params),
        output_bias=flat([_fill_up(weights.output_bias, padded_params)]),
        **_laid_out_pyramid(weights.pyramid, padded_s, matrices, flat),
    )


def _laid_out_pyramid(
    pyramid: PackedPyramid | None,
    padded_s: int,
    matrices: Callable[[list[Array], int], Array],
    flat: Callable[[list[Array]], Array],
) -> dict[str, Array]:
    """The context module's fields of `Weights`, empty for a network without that module."""
    if pyramid is None:
        names = ("branches", "mean", "branch_bias", "project", "project_bias")
        return dict.fromkeys(names, aligned(0))
    p, s = pyramid.mean.shape[1], len(pyramid.project_bias)
    padded_p = padded(p)
    # The rows that the padding of each branch's channels is multiplied by are zeros.
    project = np.zeros((len(pyramid.branch_bias), padded_p, s), np.float32)
    project[:, :p] = pyramid.project.reshape(-1, p, s)
    return {
        "branches": matrices(list(pyramid.branches), padded_p),
        "mean": matrices([pyramid.mean], padded_p),
        "branch_bias": flat([_fill_up(pyramid.branch_bias, padded_p)]),
        "project": matrices([project.reshape(-1, s)], padded_s),
        "project_bias": flat([_fill_up(pyramid.project_bias, padded_s)]),
    }


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


class SilentState(NamedTuple):
    """What a stream remembers after endless silence."""

    inputs: Array  # (L, R)
    older: Array  # (L, 2 G), with bias
    skips: Array  # (S,), relu of the skip sum


def state_after_silence(
    weights: PackedWeights, embedding: Array, conditioning: Array
) -> SilentState:
    """The state after endless silence, in double precision.

    `embedding` (R,) is that of a silent sample; `conditioning` (L, 2 G) stays the same throughout.
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
    return SilentState(np.array(inputs), np.array(older), np.maximum(total, 0))


def laid_out_frames(frames: Array) -> Array:
    """Conditioning (batch, F, L, 2 G) for the kernels: each half filled up to whole vectors."""
    g = frames.shape[-1] // 2
    return aligned_copy(_resize_halves(np.asarray(frames, np.float32), g, padded_gate(g)))
