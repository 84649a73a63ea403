"""The engines, which run the networks: a file for each, and `base` and `joint`, which they share.

May import `detector`, `config` and the ground.
"""
