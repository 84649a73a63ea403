"""The step that puts modes under load: which rate of requests a machine sustains, and at what cost.

A step may import engines, detector, config and the ground, and steps before it.
"""
