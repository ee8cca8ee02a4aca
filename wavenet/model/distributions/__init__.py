"""What a network can predict: one file for each kind of output, and their registry.

To add one: a class that does what `base.Distribution` says, a line in `registry`, and its name in
`ModelConfig.output`. Its `draw` in NumPy is the specification. Engines have draws of their own,
which they choose by `kind`: `engines/cpu/sampling.py`, `engines/gpu/triton_kernels.py` and
`engines/gpu/cuda_graph.py` (and the benchmarks' `bench/eager_baseline.py`); until an engine has one
for a new kind, it refuses such models. `tests/engines/test_parity.py` compares all with the NumPy
draw.
"""
