"""Machine types of a cluster: what its scheduler knows of them, and the step that runs on a node.

It may import config and the ground alone. See docs/cluster.md.
"""
