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

from typing import NamedTuple

import numpy as np

from wavenet.engines.packed import PackedWeights
from wavenet.engines.vectors import LANES
from wavenet.shapes import Array

PANEL = 8  # vectors
BLOCK = 8  # steps that the older taps are computed ahead, where the dilation allows
_ALIGNMENT = 64  # bytes of a cache line


class Weights(NamedTuple):
    """A model's numbers, each array flat with its layers one after the other. Inside the kernels, pointers to the same."""

    embedding: Array  # (n_inputs, R')
    newest: Array  # panels (R, 2 G'), the tap that hears the present
    older: Array  # panels ((K - 1) R, 2 G')
    conv_bias: Array  # (2 G')
    residual: Array  # panels (G, R')
    residual_bias: Array
    skip: Array  # panels (G, S')
    skip_bias: Array
    hidden: Array  # panels (S, H')
    hidden_bias: Array
    output: Array  # panels (H, levels')
    output_bias: Array


class Sizes(NamedTuple):
    """A model's sizes: channels, and whole vectors of LANES numbers that hold them."""

    words: int  # of panel memory that a vector of weights takes: LANES, or half as many in bf16
    layers: int
    taps: int
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
    ring_rows: int  # of one stream


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
    return np.concatenate([array, np.zeros((*array.shape[:-1], channels - array.shape[-1]), array.dtype)], -1)


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
    high = np.clip(np.rint((magnitude - low) / 65536), 0, 0x7F7F).astype(np.int64) << 16  # nearest word; the largest stays finite
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


def as_heard(weights: PackedWeights, precision: str) -> PackedWeights:
    """The weights that the kernels compute with: in bf16, matrices rounded as the panels round them."""
    if precision == "fp32":
        return weights

    def rounded(matrix: Array, *parts: int) -> Array:
        """`parts` are the widths of the column groups that lie in panels of their own."""
        return np.concatenate([_rounded(part) for part in np.split(matrix, np.cumsum(parts), axis=1)], 1)

    g, r = weights.out.shape[1], weights.residual_channels
    conv = np.stack([[_halves(_rounded(_halves(tap, g, padded_gate(g))), padded_gate(g), g) for tap in taps] for taps in weights.conv])
    out = np.stack([rounded(matrix, r) for matrix in weights.out])
    return weights._replace(conv=conv, out=out, hidden=_rounded(weights.hidden), output=_rounded(weights.output))


def _rounded(matrix: Array) -> Array:
    outputs, cut, at = matrix.shape[1], [], 0
    wide = _wide(matrix, padded(outputs))
    for size in panel_sizes(wide.shape[1] // LANES):
        cut.append(from_bf16_pairs(bf16_pairs(np.ascontiguousarray(wide[:, at : at + size * LANES], np.float32))))
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
    k, r, s = weights.kernel_size, weights.residual_channels, weights.hidden.shape[0]
    g, (h, levels) = weights.out.shape[1], weights.output.shape
    wide_r, wide_g, wide_s, wide_h, wide_levels = padded(r), padded_gate(g), padded(s), padded(h), padded(levels)

    def flat(arrays: list[Array]) -> Array:
        return aligned_copy(np.concatenate([np.ascontiguousarray(a).ravel() for a in arrays]))

    def matrices(arrays: list[Array], width: int) -> Array:
        return flat([panels(_wide(a, width), precision) for a in arrays])

    conv = _halves(weights.conv, g, wide_g)
    return Weights(
        embedding=flat([_wide(weights.embedding, wide_r)]),
        newest=matrices([taps[-1] for taps in conv], 2 * wide_g),
        older=matrices([taps[:-1].reshape((k - 1) * r, 2 * wide_g) for taps in conv], 2 * wide_g),
        conv_bias=flat([_halves(weights.conv_bias, g, wide_g)]),
        residual=matrices([m[:, :r] for m in weights.out], wide_r),
        residual_bias=flat([_wide(weights.out_bias[:, :r], wide_r)]),
        skip=matrices([m[:, r:] for m in weights.out], wide_s),
        skip_bias=flat([_wide(weights.out_bias[:, r:], wide_s)]),
        hidden=matrices([weights.hidden], wide_h),
        hidden_bias=flat([_wide(weights.hidden_bias, wide_h)]),
        output=matrices([weights.output], wide_levels),
        output_bias=flat([_wide(weights.output_bias, wide_levels)]),
    )


def sizes(weights: PackedWeights, precision: str, ring_rows: int, scalar_input: bool) -> Sizes:
    g, (h, levels) = weights.out.shape[1], weights.output.shape
    r, s = weights.residual_channels, weights.hidden.shape[0]
    channels = (padded(r), padded_gate(g), padded(s), padded(h), padded(levels))
    words = LANES if precision == "fp32" else LANES // 2
    counts = (words, len(weights.dilations), weights.kernel_size, levels, scalar_input, r, g, s, h)
    return Sizes._make([*counts, *(c // LANES for c in channels), ring_rows])


def plan(weights: PackedWeights) -> tuple[Array, int]:
    """Per layer (L, 5): its dilation; its ring's first row; that ring's length less one; the block of steps that its older taps are
    computed ahead; and the phase that spreads the layers' blocks over time. And the rows of all rings together."""
    found = np.zeros((len(weights.dilations), 5), np.int64)
    first = 0
    for layer, dilation in enumerate(map(int, weights.dilations)):
        block = min(BLOCK, 1 << dilation.bit_length() - 1)  # a power of two, so that whole blocks fill `ahead`
        # the oldest tap and the present, and one more: with two threads the older taps are computed while the next step begins
        length = 1 << ((weights.kernel_size - 1) * dilation + 1).bit_length()
        found[layer] = dilation, first, length - 1, block, layer % BLOCK
        first += length
    return found, first


def endless_silence(weights: PackedWeights, silence: Array, under: Array) -> tuple[Array, Array]:
    """What endless silence, heard as (R,), leaves behind under conditions (L, 2 G): each layer's input (L, R); its older taps' sum with
    bias (L, 2 G)."""
    x = silence.astype(np.float64)
    inputs, older = [], []
    for conv, bias, out, out_bias, told in zip(weights.conv, weights.conv_bias, weights.out, weights.out_bias, under, strict=True):
        inputs.append(x)
        older.append(bias + x @ conv[:-1].sum(0, dtype=np.float64))
        filtered, gate = np.split(older[-1] + x @ conv[-1] + told, 2)
        z = np.tanh(filtered) * (0.5 + 0.5 * np.tanh(gate / 2))  # sigmoid, without overflow
        x = x + (z @ out + out_bias)[: len(x)]
    return np.array(inputs), np.array(older)


def laid_out_frames(frames: Array) -> Array:
    """Conditions (batch, F, L, 2 G) as the kernels take them: each half filled up to whole vectors."""
    g = frames.shape[-1] // 2
    return aligned_copy(_halves(np.asarray(frames, np.float32), g, padded_gate(g)))
