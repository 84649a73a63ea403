"""What is measured: an ensemble of detectors, and one request from JPEG to detections.

May import `config` and the ground.
"""
