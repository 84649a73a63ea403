"""The first step: finds, downloads or makes the weights, and verifies them.

A step may import engines, detector, config, the ground, and earlier steps; here there are none.
"""
