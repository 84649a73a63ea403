"""What leaves a working copy to be deployed.

It may import everything up to report, and effdet_runtime.
"""
