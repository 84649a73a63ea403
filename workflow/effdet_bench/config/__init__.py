"""The settings of a run and the machine it runs on, read without importing torch.

It may import only the ground: `errors`, `records`, `layout`, `processes`.
"""
