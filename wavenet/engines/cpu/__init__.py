"""The engine for CPUs: kernels that numba compiles for the machine they run on."""
