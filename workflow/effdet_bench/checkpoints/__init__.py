"""Weights of an ensemble: chosen, downloaded or synthesised, and verified before any timing."""
