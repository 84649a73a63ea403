"""Work on finished results: packing, rendering again, auditing, comparing.

This is the last step: it may import all others.
"""
