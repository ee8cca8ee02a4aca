"""The engine for CPUs: kernels compiled by numba for the machine they run on."""
