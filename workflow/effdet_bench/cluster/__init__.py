"""Machine types of a cluster: questions to its scheduler, and the step that runs on a node.

It may import only config and the ground. See docs/cluster.md.
"""
