"""The gated stack's passes as machine code for CPUs, in float32.

`passes` stands beside `model.fused_stack`, which says what is computed. `forward` and `backward`
are the loops over layers and rows, with `rows` in common, and `tiles` has the products and what is
done to their sums while these are still in registers.
"""
