"""vla_ros: run a vision-language-action (VLA) policy on a ROS 2 arm."""

__version__ = "0.1.0"
