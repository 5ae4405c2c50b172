"""Transducers: beam and greedy search, alignment."""
