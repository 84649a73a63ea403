"""The step that computes every derived number: percentiles, comparisons, verdicts, stability.

A step may import engines, detector, config and the ground, and steps before it.
"""
