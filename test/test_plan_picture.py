"""The picture of a plan: the arm where it is, a ghost where it would end, the tip's path."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from test_demo import take_of

from vla_ros.datatypes import FloatArray, RobotState
from vla_ros.demo.plan_picture import write_plans
from vla_ros.robot_config import load_robot
from vla_ros.ros.take import PlanShot, Take
from vla_ros.share import share_path

START_RAD = np.array([0.0, -0.3, 0.0, -2.2, 0.0, 2.0, 0.78])
LEFT_RAD = np.array([0.3, 0.4, 0.1, -1.9, 0.0, 2.3, 0.78])


def arm_at(position_rad: FloatArray) -> RobotState:
    return RobotState(
        position_rad=position_rad, velocity_rad_s=np.zeros(7), gripper_open=1.0, stamp_s=51.0
    )


def planning(goal_rad: FloatArray, steps: int = 10) -> Take:
    chain = load_robot(share_path("config/panda.yaml")).chain
    path_m = chain.forward(np.linspace(START_RAD, goal_rad, steps))[:, :3, 3]
    take = take_of()
    take.plans.append(PlanShot(start=arm_at(START_RAD), end=arm_at(goal_rad), path_m=path_m))
    return take


def blue(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    b, _, r = np.moveaxis(picture.astype(int), -1, 0)
    return b > r + 60


def orange(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    b, _, r = np.moveaxis(picture.astype(int), -1, 0)
    return r > b + 40


def test_the_ghost_stands_where_the_path_ends(tmp_path: Path) -> None:
    takes = [planning(LEFT_RAD), planning(LEFT_RAD * [-1, 1, -1, 1, 1, 1, 1])]
    write_plans(tmp_path / "plans.png", takes)
    picture = cv2.imread(str(tmp_path / "plans.png"))
    assert picture.shape == (480, 2 * 480, 3)
    columns = []
    for one in (picture[:, :480], picture[:, 480:]):
        assert blue(one).sum() > 100, "the path"
        assert orange(one).sum() > 5000, "the ghost"
        columns.append((np.nonzero(orange(one))[1].mean(), np.nonzero(blue(one))[1].mean()))
    assert columns[0][0] > columns[1][0] + 50
    assert columns[0][1] > columns[1][1] + 20


def test_the_longest_plan_is_drawn(tmp_path: Path) -> None:
    take = planning(LEFT_RAD)
    write_plans(tmp_path / "alone.png", [take])
    take.plans = [*planning(START_RAD).plans, *take.plans, *planning(START_RAD).plans]
    write_plans(tmp_path / "among.png", [take])
    alone, among = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("alone", "among"))
    np.testing.assert_array_equal(alone, among)


def test_without_a_plan_there_is_no_picture(tmp_path: Path) -> None:
    write_plans(tmp_path / "plans.png", [take_of()])
    assert not any(tmp_path.iterdir())
