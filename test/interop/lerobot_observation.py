"""The observation that both sides of `lerobot_interop.py` plan from, in LeRobot's numbers.

The order is none that the robot file has, joints are in degrees, the gripper runs from 0 to 100: as
the datasets of some arms are.
"""

import numpy as np

ENTRIES = (
    "gripper",
    "panda_joint7",
    "panda_joint1",
    "panda_joint2",
    "panda_joint3",
    "panda_joint4",
    "panda_joint5",
    "panda_joint6",
)
MEAN = np.array([50.0, 45.0, 0.0, 11.0, 0.0, -137.0, 0.0, 149.0], np.float32)
STD = np.array([40.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0], np.float32)
STATE = MEAN + STD * np.array([0.5, -1.0, 1.0, -0.5, 0.0, 0.5, -0.25, 1.5], np.float32)
IMAGES = {"observation.images.top": "front", "observation.images.hand": "wrist"}
WORDS = "open the drawer"


def pictures():
    """By camera of the robot file."""
    picture = np.arange(96 * 96 * 3, dtype=np.uint32).reshape(96, 96, 3) % 251
    return {"front": picture.astype(np.uint8), "wrist": picture[::-1].astype(np.uint8).copy()}


def observation():
    """As a robot of LeRobot's gives it."""
    by_key = {key: pictures()[name] for key, name in IMAGES.items()}
    return {**by_key, "observation.state": STATE.copy()}
