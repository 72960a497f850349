"""The simulated tabletop: MuJoCo, without torch and without ROS."""

import os

# Before anything imports mujoco: a machine without a screen renders through EGL, and software
# rendering is fastest on one thread.
os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("LP_NUM_THREADS", "1")
