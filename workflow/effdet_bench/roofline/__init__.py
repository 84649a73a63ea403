"""The step that measures ceilings of a device, and computes the bounds of a request from them.

A step may import engines, detector, config, the ground, and earlier steps.
"""
