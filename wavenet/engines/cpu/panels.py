"""How the CPU kernels want a network's weights to lie in memory.

A matrix (inputs, outputs) is padded with zero columns to an even number of vectors and cut into panels of 8, 4 or 2 vectors: as many
sums as fit into registers. A panel holds the weights of its outputs input by input, so that a product reads memory once, forwards:

    matrix (I, 10 vectors)      panel of 8             panel of 2
    i = 0  |aaaaaaaabb|         |aaaaaaaa| i = 0       |bb| i = 0
    i = 1  |aaaaaaaabb|   ->    |aaaaaaaa| i = 1       |bb| i = 1
    ...                         ...                    ...

In bf16 two neighbouring vectors share one vector of 32-bit words: the first in the low halves, the second in the high ones. A kernel
takes the whole word for the second, low half and all, which saves an instruction; so its high half is chosen such that the *word* lies
nearest to the true weight.

Inputs are never padded. Channels are, so every layer's x, z and skips are whole vectors whose padding stays zero.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from wavenet.arrays import Array
from wavenet.engines.cpu.vectors import LANES
from wavenet.engines.weights import PackedPyramid, PackedWeights

PANEL = 8  # vectors
BLOCK = 8  # steps that the older taps are computed ahead, where the dilation allows
_ALIGNMENT = 64  # bytes of a cache line


class Weights(NamedTuple):
    """A model's numbers, each array flat with its layers one after the other. Inside the kernels, pointers to the same."""

    embedding: Array  # (n_inputs, R')
    newest: Array  # panels (R, 2 G'), the tap that hears the present
    older: Array  # panels (T - 1 taps' R, 2 G')
    conv_bias: Array  # (2 G')
    residual: Array  # panels (G, R')
    residual_bias: Array
    skip: Array  # panels (G, S')
    skip_bias: Array
    hidden: Array  # panels (S, H')
    hidden_bias: Array
    output: Array  # panels (H, levels')
    output_bias: Array
    branches: Array  # of the context module: panels (2 S, P') one after the other
    mean: Array  # panels (S, P')
    branch_bias: Array  # (P') one after the other, the mean's last
    project: Array  # panels (all branches' P', S')
    project_bias: Array


class Plan(NamedTuple):
    """When what is computed, and where it lies."""

    layers: Array  # (L, 6): first of the layer's `backs` and how many; its ring's first row, and length less one; block; phase
    backs: Array  # samples back that the older taps hear, layer after layer, each oldest first
    context: Array  # samples back that the context module's branches hear


class Sizes(NamedTuple):
    """A model's sizes: channels, and whole vectors of LANES numbers that hold them."""

    words: int  # of panel memory that a vector of weights takes: LANES, or half as many in bf16
    layers: int
    older: int  # the most older taps of a layer
    levels: int  # numbers predicted per sample: logits, or a mixture's parameters
    scalar_input: bool
    r: int
    g: int
    s: int
    h: int
    r_vectors: int
    g_vectors: int
    s_vectors: int
    h_vectors: int
    level_vectors: int
    p_vectors: int
    branches: int  # of the context module, without the mean; 0 for a network without
    window: int  # samples that it hears the mean of
    ring_rows: int  # of one stream
    context_rows: int  # of its ring of skip sums, a power of two


def aligned(shape: int | tuple[int, ...], dtype: type = np.float32) -> Array:
    """Zeros that start on a cache line, where a vector never straddles two."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    found: Array = memory[start : start + size].view(dtype).reshape(shape)
    return found


def aligned_copy(array: Array) -> Array:
    found = aligned(array.shape, array.dtype.type)
    found[...] = array
    return found


def padded(channels: int) -> int:
    """Channels in an even number of vectors."""
    return -(-channels // (2 * LANES)) * 2 * LANES


def _wide(array: Array, channels: int) -> Array:
    """The last axis filled up with zeros."""
    return np.concatenate(
        [array, np.zeros((*array.shape[:-1], channels - array.shape[-1]), array.dtype)], -1
    )


def panel_sizes(vectors: int) -> list[int]:
    """The panels that an even number of vectors is cut into: as wide as can be, wide ones first."""
    sizes = [PANEL] * (vectors // PANEL)
    return sizes + [size for size in (4, 2) if vectors % PANEL & size]


def panels(matrix: Array, precision: str) -> Array:
    """A matrix (inputs, outputs), outputs in whole pairs of vectors, as flat panels: float32, or uint32 words of two bf16."""
    cut, at = [], 0
    for size in panel_sizes(matrix.shape[1] // LANES):
        panel = np.ascontiguousarray(matrix[:, at : at + size * LANES], np.float32)
        cut.append((panel if precision == "fp32" else bf16_pairs(panel)).ravel())
        at += size * LANES
    return np.concatenate(cut)


def bf16_pairs(panel: Array) -> Array:
    """float32 (inputs, vectors * LANES) -> words (inputs, vectors / 2 * LANES)."""
    pairs = panel.reshape(len(panel), -1, 2, LANES)
    low = _bf16(pairs[:, :, 0])
    bits = np.ascontiguousarray(pairs[:, :, 1]).view(np.uint32).astype(np.int64)
    magnitude, sign = bits & 0x7FFFFFFF, bits & 0x80000000
    high = (
        np.clip(np.rint((magnitude - low) / 65536), 0, 0x7F7F).astype(np.int64) << 16
    )  # nearest word; the largest stays finite
    return (sign | high | low).astype(np.uint32).reshape(len(panel), -1)


def from_bf16_pairs(words: Array) -> Array:
    """The float32 weights that a kernel makes of such words: (inputs, words) -> (inputs, 2 * words)."""
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
    """The weights that the kernels compute with: in bf16, matrices rounded as the panels round them."""
    if precision == "fp32":
        return weights

    def rounded(matrix: Array, *parts: int) -> Array:
        """`parts` are the widths of the column groups that lie in panels of their own."""
        return np.concatenate(
            [_rounded(part) for part in np.split(matrix, np.cumsum(parts), axis=1)], 1
        )

    g, r = weights.out.shape[1], weights.residual_channels
    conv = tuple(
        np.stack(
            [_halves(_rounded(_halves(tap, g, padded_gate(g))), padded_gate(g), g) for tap in taps]
        )
        for taps in weights.conv
    )
    out, pyramid = np.stack([rounded(matrix, r) for matrix in weights.out]), weights.pyramid
    if pyramid is not None:
        branches = np.stack([_rounded(branch) for branch in pyramid.branches])
        pyramid = pyramid._replace(
            branches=branches, mean=_rounded(pyramid.mean), project=_rounded(pyramid.project)
        )
    return weights._replace(
        conv=conv,
        out=out,
        hidden=_rounded(weights.hidden),
        output=_rounded(weights.output),
        pyramid=pyramid,
    )


def _rounded(matrix: Array) -> Array:
    outputs, cut, at = matrix.shape[1], [], 0
    wide = _wide(matrix, padded(outputs))
    for size in panel_sizes(wide.shape[1] // LANES):
        cut.append(
            from_bf16_pairs(
                bf16_pairs(np.ascontiguousarray(wide[:, at : at + size * LANES], np.float32))
            )
        )
        at += size * LANES
    return np.concatenate(cut, 1)[:, :outputs]


def padded_gate(g: int) -> int:
    """Channels of one half of the gate in whole vectors: both halves together are an even number."""
    return -(-g // LANES) * LANES


def _halves(array: Array, old: int, new: int) -> Array:
    """Both halves of the last axis, each cut or filled up with zeros from `old` to `new` channels."""
    first, second = array[..., :old], array[..., old:]
    if new > old:
        return np.concatenate([_wide(first, new), _wide(second, new)], -1)
    return np.concatenate([first[..., :new], second[..., :new]], -1)


def laid_out(weights: PackedWeights, precision: str) -> Weights:
    """A model's weights as the kernels take them."""
    r, s = weights.residual_channels, weights.hidden.shape[0]
    g, (h, levels) = weights.out.shape[1], weights.output.shape
    wide_r, wide_g, wide_s, wide_h, wide_levels = (
        padded(r),
        padded_gate(g),
        padded(s),
        padded(h),
        padded(levels),
    )

    def flat(arrays: list[Array]) -> Array:
        return aligned_copy(np.concatenate([np.ascontiguousarray(a).ravel() for a in arrays]))

    def matrices(arrays: list[Array], width: int) -> Array:
        return flat([panels(_wide(a, width), precision) for a in arrays])

    conv = [_halves(taps, g, wide_g) for taps in weights.conv]
    return Weights(
        embedding=flat([_wide(weights.embedding, wide_r)]),
        newest=matrices([taps[-1] for taps in conv], 2 * wide_g),
        older=matrices([taps[:-1].reshape(-1, 2 * wide_g) for taps in conv], 2 * wide_g),
        conv_bias=flat([_halves(weights.conv_bias, g, wide_g)]),
        residual=matrices([m[:, :r] for m in weights.out], wide_r),
        residual_bias=flat([_wide(weights.out_bias[:, :r], wide_r)]),
        skip=matrices([m[:, r:] for m in weights.out], wide_s),
        skip_bias=flat([_wide(weights.out_bias[:, r:], wide_s)]),
        hidden=matrices([weights.hidden], wide_h),
        hidden_bias=flat([_wide(weights.hidden_bias, wide_h)]),
        output=matrices([weights.output], wide_levels),
        output_bias=flat([_wide(weights.output_bias, wide_levels)]),
        **_laid_out_pyramid(weights.pyramid, wide_s, matrices, flat),
    )


def _laid_out_pyramid(
    w: PackedPyramid | None,
    wide_s: int,
    matrices: Callable[[list[Array], int], Array],
    flat: Callable[[list[Array]], Array],
) -> dict[str, Array]:
    if w is None:
        return dict.fromkeys(
            ("branches", "mean", "branch_bias", "project", "project_bias"), aligned(0)
        )
    p = w.mean.shape[1]
    wide_p = padded(p)
    # what each branch's channels are filled up with is multiplied by rows of zeros
    project = np.zeros((len(w.branch_bias), wide_p, len(w.project_bias)), np.float32)
    project[:, :p] = w.project.reshape(-1, p, len(w.project_bias))
    return {
        "branches": matrices(list(w.branches), wide_p),
        "mean": matrices([w.mean], wide_p),
        "branch_bias": flat([_wide(w.branch_bias, wide_p)]),
        "project": matrices([project.reshape(-1, len(w.project_bias))], wide_s),
        "project_bias": flat([_wide(w.project_bias, wide_s)]),
    }


def sizes(weights: PackedWeights, precision: str, ring_rows: int, scalar_input: bool) -> Sizes:
    g, (h, levels), pyramid = weights.out.shape[1], weights.output.shape, weights.pyramid
    r, s = weights.residual_channels, weights.hidden.shape[0]
    channels = (
        padded(r),
        padded_gate(g),
        padded(s),
        padded(h),
        padded(levels),
        padded(pyramid.mean.shape[1]) if pyramid else 0,
    )
    words = LANES if precision == "fp32" else LANES // 2
    counts = (
        words,
        len(weights.offsets),
        max(map(len, weights.offsets)) - 1,
        levels,
        scalar_input,
        r,
        g,
        s,
        h,
    )
    branches, window = (len(pyramid.offsets), pyramid.window) if pyramid else (0, 0)
    # its ring also holds what leaves the window now
    context_rows = 1 << (pyramid.reach + 1).bit_length() if pyramid else 0
    return Sizes._make(
        [*counts, *(c // LANES for c in channels), branches, window, ring_rows, context_rows]
    )


def plan(weights: PackedWeights) -> tuple[Plan, int]:
    """Layers are staggered over time by their phase. Besides, the rows of all rings together."""
    layers = np.zeros((len(weights.offsets), 6), np.int64)
    backs: list[int] = []
    row = 0
    for layer, heard in enumerate(weights.offsets):
        older = heard[:-1]
        # the nearest tap hears what is known so many steps ahead; a power of two, so that whole blocks fill `ahead`
        block = min(BLOCK, 1 << older[-1].bit_length() - 1)
        # the oldest tap and the present, and one more: with two threads the older taps are computed while the next step begins
        length = 1 << (older[0] + 1).bit_length()
        layers[layer] = len(backs), len(older), row, length - 1, block, layer % BLOCK
        backs += older
        row += length
    context = weights.pyramid.offsets if weights.pyramid else ()
    return Plan(layers, np.array(backs, np.int64), np.array(context, np.int64)), row


class Silence(NamedTuple):
    """What endless silence leaves behind."""

    inputs: Array  # (L, R) of each layer
    older: Array  # (L, 2 G) its older taps' sum with bias
    skips: Array  # (S,) relu of the skip sum


def endless_silence(weights: PackedWeights, silence: Array, under: Array) -> Silence:
    """Of silence heard as (R,), under conditions (L, 2 G)."""
    x = silence.astype(np.float64)
    inputs, older, total = [], [], np.zeros(weights.hidden.shape[0])
    for conv, bias, out, out_bias, told in zip(
        weights.conv, weights.conv_bias, weights.out, weights.out_bias, under, strict=True
    ):
        inputs.append(x)
        older.append(bias + x @ conv[:-1].sum(0, dtype=np.float64))
        filtered, gate = np.split(older[-1] + x @ conv[-1] + told, 2)
        z = np.tanh(filtered) * (0.5 + 0.5 * np.tanh(gate / 2))  # sigmoid, without overflow
        residual, skip = np.split(z @ out + out_bias, [len(x)])
        x, total = x + residual, total + skip
    return Silence(np.array(inputs), np.array(older), np.maximum(total, 0))


def laid_out_frames(frames: Array) -> Array:
    """Conditions (batch, F, L, 2 G) as the kernels take them: each half filled up to whole vectors."""
    g = frames.shape[-1] // 2
    return aligned_copy(_halves(np.asarray(frames, np.float32), g, padded_gate(g)))
