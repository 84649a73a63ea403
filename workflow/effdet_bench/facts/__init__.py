"""Facts that planning needs in milliseconds: this machine, its packages, the code, the photos.

They may import only the ground.
"""
