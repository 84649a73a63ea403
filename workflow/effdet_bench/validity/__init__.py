"""Whether answers are right: checks between timed requests, and the gate that judges all answers.

It may import everything up to export.
"""
