"""From NIR's general nodes to those that the other passes know: synapses, neurons, and what moves spikes about."""
