"""How each kind of float layer becomes integers: the parts of the quantize pass."""
