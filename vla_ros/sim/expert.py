"""The scripted expert: its move as a joint command, by inverse kinematics on the MuJoCo model."""

from __future__ import annotations

from functools import cache

import mink
import mujoco
import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.sim.expert_moves import Move, next_move
from vla_ros.sim.layout import HOME_RAD
from vla_ros.sim.scene import ARM_JOINTS, urdf_for_mujoco
from vla_ros.sim.world import TabletopSim

# The servos follow a moving target this much later, so the target is put that much ahead.
_LEAD_S = 0.2
_TURN_RAD_S = 2.0
_IK_STEPS = 3
_DOWN = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])


class Expert:
    """Acts through the same joint commands as a policy, but reads the simulator's state."""

    def __init__(self, world: TabletopSim, rest_rad: FloatArray = HOME_RAD) -> None:
        """Put it at the controls.

        Args:
            world: The simulation it acts in.
            rest_rad: Joint positions (7,); of the postures that serve the tip it takes the one near
                them.
        """
        self._world = world
        model = _arm_model()
        self._configuration = mink.Configuration(model)
        self._joints = [int(model.joint(name).qposadr[0]) for name in ARM_JOINTS]
        self._dofs = [int(model.joint(name).dofadr[0]) for name in ARM_JOINTS]
        self._tip = mink.FrameTask(
            "panda_hand_tcp", "body", position_cost=1.0, orientation_cost=0.3
        )
        cost = np.zeros(model.nv)
        cost[self._dofs] = 2e-3
        self._posture = mink.PostureTask(model, cost=cost)
        rest = model.qpos0.copy()
        rest[self._joints] = rest_rad
        self._posture.set_target(rest)
        self._bounds = mink.ConfigurationLimit(model)

    def act(self) -> FloatArray:
        """Joint targets [rad] and gripper opening for the next 50 ms, shape (8,)."""
        world = self._world
        tip = world.data.body("panda_hand_tcp")
        tip_m, yaw_rad = tip.xpos.copy(), _yaw_rad(tip.xmat.reshape(3, 3))
        move = next_move(world, tip_m, yaw_rad)
        goal_m, goal_yaw_rad = _within_reach(move, tip_m, yaw_rad)
        target_rad = self.solve(goal_m, goal_yaw_rad)
        return np.append(target_rad, move.gripper_open)

    def solve(self, tip_m: FloatArray, yaw_rad: float) -> FloatArray:
        """Joint positions (7,) with the tool at `tip_m`, pointing down, near the measured ones."""
        q = self._configuration.q.copy()
        q[self._joints] = self._world.state().position_rad
        self._configuration.update(q)
        rotation = _pointing_down(yaw_rad)
        self._tip.set_target(
            mink.SE3.from_rotation_and_translation(mink.SO3.from_matrix(rotation), tip_m)
        )
        for _ in range(_IK_STEPS):
            velocity = mink.solve_ik(
                self._configuration,
                [self._tip, self._posture],
                1.0,
                solver="daqp",
                damping=1e-4,
                limits=[self._bounds],
            )
            self._configuration.integrate_inplace(velocity, 1.0)
        return self._configuration.q[self._joints].copy()


def _pointing_down(yaw_rad: float) -> FloatArray:
    """Rotation (3, 3) of a tool that points down, turned about the vertical."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.asarray(np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ _DOWN)


def _yaw_rad(rotation: FloatArray) -> float:
    return float(np.arctan2(rotation[1, 0], rotation[0, 0]))


def _within_reach(move: Move, tip_m: FloatArray, yaw_rad: float) -> tuple[FloatArray, float]:
    """The pose to command now: towards the goal, no faster than the move allows."""
    way = move.tip_m - tip_m
    length = float(np.linalg.norm(way))
    step = min(length, move.speed_m_s * _LEAD_S)
    goal_m = tip_m + way * (step / length) if length > 1e-9 else move.tip_m
    turn = float(np.clip(move.yaw_rad - yaw_rad, -_TURN_RAD_S * _LEAD_S, _TURN_RAD_S * _LEAD_S))
    return goal_m, yaw_rad + turn


@cache
def _arm_model() -> mujoco.MjModel:
    """The arm without the table: a small model makes inverse kinematics quick."""
    return mujoco.MjModel.from_xml_string(urdf_for_mujoco())
