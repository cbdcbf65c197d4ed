"""Programs run core by core: each core computes the neurons of its slices, from the spikes that reach it and its own weights."""
