"""Compiled programs in the formats of others."""
