"""The step that puts modes under load: the rate of requests that each sustains, and its energy.

A step may import engines, detector, config and the ground, and steps before it.
"""
