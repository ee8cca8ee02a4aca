"""The gated stack's passes as machine code for CPUs, in float32.

`passes` stands beside `model.fused_stack`, which says what is computed; `kernels` has the loops
over layers and rows, `tiles` the products and what is done to their sums while these are still in
registers.
"""
