"""Lava Processes, with fixed-point models, for what a Pumice program needs and stock Lava lacks.

Ports carry int32 vectors, feature maps and tokens flattened in C order. Lava executes every file of this folder whenever
it looks for a model, so a file here holds nothing but classes. The meaning of each operation is `pumice.hwsim.arith`.

A Process that trails the input by `lag` steps sees frame t of sample k at time step `lag + k * timesteps + t + 1`.
"""

CORE_PORTS = (
    64  # of a `cores.Core`: Lava asks a model for all its ports at once; one that is not connected takes no time
)
