"""The step that judges what timed requests answered: valid or INVALID.

A step may import engines, detector, config and the ground, and steps before it.
"""
