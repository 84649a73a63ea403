"""The step that measures what a device reaches at best, and bounds the request by it.

A step may import engines, detector, config and the ground, and steps before it.
"""
