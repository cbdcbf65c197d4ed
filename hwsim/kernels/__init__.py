"""Compiled kernels of the `fast` backend: the arithmetic of `hwsim.arith`, many lanes at a time. They need numba."""
