"""Chip models: specifications, integer arithmetic, Lava Processes, counters and energy. Imports nothing else of Pumice."""
