"""The step that is against the clock: rounds in which all modes take turns, request by request.

A step may import engines, detector, config and the ground, and steps before it. Nothing of what
judges or summarises may be imported here: an edit of that would time everything anew.
"""
