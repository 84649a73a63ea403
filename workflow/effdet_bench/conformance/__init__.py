"""The command check-engine: checks whether an engine keeps the contract of docs/engines.md.

It may import everything up to timing.
"""
