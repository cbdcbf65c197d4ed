"""The `torch` backend: the integers of `hwsim.arith` on torch, on a CPU or a GPU, bit for bit. Import `backend` first: it checks
that torch is there."""
