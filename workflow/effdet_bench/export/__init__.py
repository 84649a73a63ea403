"""The steps that export networks for engines with a format of their own, and check the exports.

A step may import engines, detector, config and the ground, and steps before it.
"""
