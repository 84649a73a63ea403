"""What executes the networks: a file for each engine, beside `base` and `joint`, which they share.

May import `detector`, `config` and the ground.
"""
