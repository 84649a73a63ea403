"""What is measured: an ensemble of detectors, and one request from JPEG to detections.

It may import config, facts and the ground.
"""
