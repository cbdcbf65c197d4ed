"""Counting what a torch module does: operations by every definition, activations, dense operations of whole architectures."""
