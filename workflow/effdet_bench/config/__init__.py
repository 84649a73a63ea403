"""What a run is asked to do, and on what machine: known without importing torch.

May import the ground alone: `errors`, `records`, `layout`, `processes`.
"""
