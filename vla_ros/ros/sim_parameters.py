"""Parameters of `sim_node`: declared as data, read and checked in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_ros.errors import ParameterError
from vla_ros.ros.params import ParameterSpec, declare_parameters, refuse_changes
from vla_ros.sim.tasks import COMBINATIONS, TASKS

_EPISODE = {
    "seed": ParameterSpec(
        default=0,
        description="Seed of the episode; the same seed and task give the same scene and words.",
        minimum=0,
        maximum=2**31 - 1,
    ),
    "task": ParameterSpec(
        default="", description=f"Task: {', '.join(TASKS)}; empty draws one by the seed."
    ),
    "combinations": ParameterSpec(
        default="seen", description=f"Pairs of verb and colour: {', '.join(COMBINATIONS)}."
    ),
    "wordings": ParameterSpec(
        default="seen", description="Wordings of the instruction: seen, heldout."
    ),
}
_START = {
    "robot_file": ParameterSpec(
        default="", description="Robot file (YAML) with the topics; empty is config/panda.yaml."
    ),
    "publish_clock": ParameterSpec(
        default=False,
        description="Publish /clock and stamp with simulated time, which never goes back.",
    ),
    "real_time_factor": ParameterSpec(
        default=1.0,
        description="Simulated seconds a second; other than 1.0 needs publish_clock.",
        minimum=0.01,
        maximum=100.0,
    ),
    "camera_rate_hz": ParameterSpec(
        default=20.0,
        description="Pictures a simulated second, of each camera; 0 is none.",
        minimum=0.0,
        maximum=100.0,
    ),
    "joint_state_rate_hz": ParameterSpec(
        default=100.0,
        description="Joint states a simulated second.",
        minimum=1.0,
        maximum=100.0,
    ),
    "render_px": ParameterSpec(
        default=192, description="Edge of the square pictures [px].", minimum=16, maximum=480
    ),
    "cmd_timeout": ParameterSpec(
        default=0.5,
        description="Arm controller: hold this long after the last trajectory's end [s]; 0 is off.",
        minimum=0.0,
        maximum=60.0,
    ),
}
SIM_NODE_PARAMETERS: Mapping[str, ParameterSpec] = {**_EPISODE, **_START}

_VALID: Mapping[str, tuple[str, ...]] = {
    "task": ("", *TASKS),
    "combinations": COMBINATIONS,
    "wordings": ("seen", "heldout"),
}


@dataclass(frozen=True, kw_only=True)
class EpisodeParameters:
    """What the next reset starts; the meaning stands in `SIM_NODE_PARAMETERS`."""

    seed: int
    task: str
    combinations: str
    wordings: str


@dataclass(frozen=True, kw_only=True)
class SimNodeParameters:
    """What is read once at start; the meaning stands in `SIM_NODE_PARAMETERS`."""

    robot_file: str
    publish_clock: bool
    real_time_factor: float
    camera_rate_hz: float
    joint_state_rate_hz: float
    render_px: int
    cmd_timeout: float


def declare_sim_parameters(node: Node) -> SimNodeParameters:
    """Declare, check and read the parameters of `sim_node`; later changes are checked too.

    Raises:
        ParameterError: With all problems at once.
    """
    declare_parameters(node, SIM_NODE_PARAMETERS)
    parameters = SimNodeParameters(**_values(node, _START))
    problems = [_choice_problem(name, node.get_parameter(name).value) for name in _VALID]
    if parameters.real_time_factor != 1.0 and not parameters.publish_clock:
        problems.append(
            f"real_time_factor: {parameters.real_time_factor:g} needs publish_clock:=true, and "
            "use_sim_time:=true for the others; else their clock and the simulated one drift apart"
        )
    if any(problems):
        raise ParameterError("parameters of sim_node", [text for text in problems if text])
    refuse_changes(node, _START, lambda _: "is read at start; restart sim_node to change it")
    node.add_on_set_parameters_callback(_check_change)
    return parameters


def read_episode(node: Node) -> EpisodeParameters:
    """Read what the next reset starts."""
    return EpisodeParameters(**_values(node, _EPISODE))


def _values(node: Node, table: Mapping[str, ParameterSpec]) -> dict:
    return {name: node.get_parameter(name).value for name in table}


def _check_change(parameters: list[Parameter]) -> SetParametersResult:
    problems = [_choice_problem(p.name, p.value) for p in parameters if p.name in _VALID]
    reason = "; ".join(text for text in problems if text)
    return SetParametersResult(successful=not reason, reason=reason)


def _choice_problem(name: str, value: object) -> str:
    valid = _VALID[name]
    if value in valid:
        return ""
    choices = ", ".join(choice or "(empty)" for choice in valid)
    return f"{name}: {value!r} is unknown; valid: {choices}"
