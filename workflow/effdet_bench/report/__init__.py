"""The step that puts a summary into words, tables and figures, and chooses none of its numbers.

A step may import engines, detector, config and the ground, and steps before it.
"""
