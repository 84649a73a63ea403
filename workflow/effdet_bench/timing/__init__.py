"""The step that measures latencies: rounds in which all modes take turns.

It may import worker and everything before it, but no code that judges all answers or summarises,
because an edit of such code would repeat all timing.
"""
