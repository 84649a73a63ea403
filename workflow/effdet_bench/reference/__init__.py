"""The step that computes what answers are judged against, and how far two outputs lie apart.

A step may import engines, detector, config and the ground, and steps before it: `checkpoints`.
"""
