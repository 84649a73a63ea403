"""A mode in a process of its own, ready to serve: what timing and load have in common.

It may import everything up to validity.
"""
