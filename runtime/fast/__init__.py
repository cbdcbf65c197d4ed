"""The `fast` backend: a program's integers by compiled kernels, many samples at a time; needs numba."""
