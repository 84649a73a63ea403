"""The step that measures latencies: rounds in which all modes take turns.

A step may import engines, detector, config and the ground, and steps before it. This step must not
import code that judges or summarises, because an edit of such code would repeat all timing.
"""
