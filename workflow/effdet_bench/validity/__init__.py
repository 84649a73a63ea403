"""The gate: the step that judges the answers of timed requests.

A step may import engines, detector, config, the ground, and earlier steps.
"""
