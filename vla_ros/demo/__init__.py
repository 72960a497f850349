"""`make demo`: the simulated arm obeys three instructions over ROS 2, and shows that it did."""

from vla_ros.demo.command import add_arguments, run

__all__ = ["add_arguments", "run"]
