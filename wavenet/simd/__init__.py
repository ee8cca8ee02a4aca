"""Machine code for CPUs: vector instructions, threads that wait for each other, and a cache of it.

Kernels are Python functions that numba compiles (`compiled`), made of primitives that are written
as LLVM instructions (`vectors`, by means of `writer`). `cpu_features` says for which machine.
"""
