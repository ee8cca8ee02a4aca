"""What a network can predict: one file for each kind of output, and their registry.

To add one: a subclass of `base.Distribution`, a line in `registry`, and its name in
`ModelConfig.output`. Its `draw` in NumPy is the specification. Engines have draws of their own,
which they choose by `kind`: `engines/kinds.py` lists those that have one in
`engines/cpu/sampling.py`, `engines/gpu/triton_kernels.py` and `engines/gpu/torch_sampling.py`. Of
other kinds an engine refuses models. `tests/engines/test_parity.py` compares all with the NumPy
draw.
"""
