"""The step that exports networks for engines that run a format of their own, and checks them.

A step may import engines, detector, config and the ground, and steps before it.
"""
