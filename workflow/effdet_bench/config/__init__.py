"""The settings of a run, read without importing torch.

It may import only facts and the ground.
"""
