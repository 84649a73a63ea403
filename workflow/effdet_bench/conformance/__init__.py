"""Tries whether an engine keeps the contract of docs/engines.md: the command check-engine.

It may import everything up to timing.
"""
