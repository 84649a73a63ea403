"""Passes over all annotated photos, which are not timed: how accurate each mode is.

It may import everything up to load, whose processes answer the photos.
"""
