"""The tabletop behind the controllers that its robot file names, as ros2_control would show it.

`sim_node` feeds it commands and steps it; nothing here knows ROS.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.errors import RobotFileError
from vla_ros.robot_config import GripperConfig, RobotConfig
from vla_ros.robot_outputs import SERVO_SINKS
from vla_ros.sim.forward_controller import ForwardController
from vla_ros.sim.scene import ARM_JOINTS, CAMERAS, FINGER_JOINTS, TIMESTEP_S
from vla_ros.sim.servo import ServoController
from vla_ros.sim.trajectory_controller import ControllerParameters, TrajectoryController
from vla_ros.sim.world import TabletopSim

_TRAJECTORY = ("joint_trajectory", "joint_trajectory_chunk")
_ARM_SINKS = (*_TRAJECTORY, "forward_command", *SERVO_SINKS)
_HAND_SINKS = ("joint_trajectory", "forward_command")

Controller = TrajectoryController | ForwardController | ServoController


class SimulatedRobot:
    """A `TabletopSim` that is commanded through controllers.

    Attributes:
        arm: Controller of the arm joints.
        hand: Controller of the finger joint that the robot file names; the other one follows it.
        joint_names: Arm joints, then both finger joints: the order of `joints()`.
        episode_count: Resets so far.
        reward: Reward since the last reset.
        success_s: Simulated time of the episode's success; `None` before it.
        first_touched: Colour of the block that the hand touched first; empty before it.
    """

    joint_names = (*ARM_JOINTS, *FINGER_JOINTS)

    def __init__(self, robot: RobotConfig, world: TabletopSim, cmd_timeout_s: float) -> None:
        """Put controllers in front of `world`.

        Args:
            robot: A robot file that fits, see `check_robot_fits`.
            world: `reset` starts an episode in it.
            cmd_timeout_s: `cmd_timeout` of the arm's controller; 0 is off. The hand has none: on
                a timeout the measured position is held, and a gripper would drop what it grips.
        """
        self.world = world
        self._gripper = _gripper(robot)
        self.arm = _arm_controller(robot, world, cmd_timeout_s)
        self.hand = _hand_controller(robot, world)
        model = world.model
        self._dof = [int(model.joint(name).dofadr[0]) for name in self.joint_names]
        self.episode_count = 0
        self.reward = 0.0
        self.success_s: float | None = None
        self.first_touched = ""

    def reset(
        self, *, seed: int, task: str, combinations: str, wordings: str, now_s: float
    ) -> None:
        """Start another episode; the arm is at its first pose at once and holds it.

        Args:
            seed: As of `TabletopSim.reset`, with the next two.
            task: Empty draws one.
            combinations: Pairs of verb and colour.
            wordings: Templates of the instruction.
            now_s: Time in the clock of the stamps.

        Raises:
            SceneError: An argument is not valid, or no scene can be drawn from them.
        """
        self.world.reset(seed=seed, task=task or None, combinations=combinations, wordings=wordings)
        self._begin(now_s)

    def step(self, now_s: float) -> None:
        """Follow the trajectories for one physics step that ends at `now_s`."""
        state = self.world.state()
        finger = self._dof[len(ARM_JOINTS)]
        arm = self.arm.update(now_s, state.position_rad, state.velocity_rad_s)
        velocity = self.world.data.qvel[finger : finger + 1]
        hand = self.hand.update(now_s, self.world.finger_m[:1], velocity)
        opening = self._gripper.open_fraction(float(hand.position[0]))
        self.world.set_target(arm.position, opening)
        self.world.advance(TIMESTEP_S)
        if self.success_s is None and self.world.success:
            self.success_s = self.world.time_s
        self.first_touched = self.first_touched or min(self.world.touched_blocks(), default="")

    def joints(self) -> tuple[FloatArray, FloatArray]:
        """Measured positions and velocities, each of shape (9,), in the order of `joint_names`."""
        position = np.concatenate([self.world.state().position_rad, self.world.finger_m])
        return position, self.world.data.qvel[self._dof].copy()

    def report(self) -> dict[str, object]:
        """The episode and how it stands, for people and evaluators."""
        self.reward += self.world.reward()
        return {
            **asdict(self.world.episode),
            "episode": self.episode_count,
            "time_s": round(self.world.time_s, 3),
            "success": self.world.success,
            "success_s": None if self.success_s is None else round(self.success_s, 3),
            "reward": round(self.reward, 4),
            "first_touched": self.first_touched,
            "arm": _counts(self.arm),
            "hand": _counts(self.hand),
        }

    def _begin(self, now_s: float) -> None:
        self.arm.reset(self.world.state().position_rad, now_s)
        self.hand.reset(self.world.finger_m[:1], now_s)
        self.episode_count += 1
        self.reward = 0.0
        self.success_s = None
        self.first_touched = ""


def check_robot_fits(robot: RobotConfig) -> None:
    """Refuse a robot file that asks for what the tabletop does not have.

    Raises:
        RobotFileError: With all problems at once.
    """
    problems = []
    if robot.joints != ARM_JOINTS:
        problems.append(f"joints: {', '.join(robot.joints)}; simulated: {', '.join(ARM_JOINTS)}")
    unknown = sorted(set(robot.cameras) - set(CAMERAS))
    if unknown:
        problems.append(f"cameras: {', '.join(unknown)}; simulated: {', '.join(CAMERAS)}")
    if robot.gripper is None or robot.gripper.joint != FINGER_JOINTS[0]:
        problems.append(f"gripper.joint: must be {FINGER_JOINTS[0]}, the simulated gripper")
    sinks = ("arm", robot.arm_sink, _ARM_SINKS), ("gripper", robot.gripper_sink, _HAND_SINKS)
    for name, sink, simulated in sinks:
        if sink is not None and sink.sink not in simulated:
            valid = ", ".join(simulated)
            problems.append(f"actions.{name}.sink: {sink.sink}; simulated: {valid}")
    if problems:
        raise RobotFileError(f"robot file {robot.path}", problems)


def _arm_controller(robot: RobotConfig, world: TabletopSim, cmd_timeout_s: float) -> Controller:
    position, sink = world.state().position_rad, robot.arm_sink
    if sink.sink in SERVO_SINKS:
        return ServoController(robot, position)
    if sink.sink == "forward_command":
        order = [robot.joints.index(name) for name in sink.joints]
        return ForwardController(len(robot.joints), position, order)
    parameters = ControllerParameters(
        joints=robot.joints,
        interpolate_from_desired_state=True,
        allow_nonzero_velocity_at_trajectory_end=True,
        cmd_timeout=cmd_timeout_s,
    )
    return TrajectoryController(parameters, position, 0.0)


def _hand_controller(robot: RobotConfig, world: TabletopSim) -> Controller:
    position = world.finger_m[:1]
    if robot.gripper_sink is not None and robot.gripper_sink.sink == "forward_command":
        return ForwardController(1, position, [0])
    parameters = ControllerParameters(
        joints=(_gripper(robot).joint,), interpolate_from_desired_state=True
    )
    return TrajectoryController(parameters, position, 0.0)


def _gripper(robot: RobotConfig) -> GripperConfig:
    check_robot_fits(robot)
    assert robot.gripper is not None
    return robot.gripper


def _counts(controller: Controller) -> dict[str, object]:
    return {
        "accepted": controller.accepted_count,
        "refused": controller.refused_count,
        "timeouts": controller.timeout_count,
        "is_holding": controller.is_holding,
    }
