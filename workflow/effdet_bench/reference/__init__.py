"""The step that computes upstream's answers, and the code that compares other outputs with them.

A step may import engines, detector, config, the ground, and earlier steps: `checkpoints`.
"""
