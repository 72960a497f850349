"""Measurements of speed, one module each; run as `python -m vla_ros bench <name>`."""
