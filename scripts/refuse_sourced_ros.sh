#!/bin/sh
# Stop where a ROS 2 install is sourced: the wheels are not for such a machine. IGNORE_ROS=1 goes on.
[ -z "${ROS_DISTRO:-}" ] || [ -n "${IGNORE_ROS:-}" ] && exit 0
cat >&2 <<END
A ROS 2 install is sourced here ($ROS_DISTRO), so make installs no ROS wheels beside it. Use it instead:
    colcon build --packages-select vla_ros && source install/setup.bash
    ros2 launch vla_ros vla.launch.py        (or: colcon test --packages-select vla_ros)
To use the wheels all the same, in a virtual environment of their own: make IGNORE_ROS=1 demo
END
exit 1
