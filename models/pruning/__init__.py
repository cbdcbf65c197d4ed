"""Pruning: tokens (schedules, their search) and weights (L1, iterative magnitude pruning, low-rank factors)."""
