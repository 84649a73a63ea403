"""The step that gets the weights: found, downloaded or made, and verified before anything else.

A step may import engines, detector, config and the ground, and steps before it; this is the first.
"""
