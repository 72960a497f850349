"""ROS parameters: declared in tables, checked against the overrides, read in one place.

rclpy ignores an override with a misspelt name and reports a wrong type by an exception that names
no valid one; here both are refused, all of them in one message.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_ros.errors import ParameterError
from vla_ros.policy_protocol import BACKENDS, DEVICES, LEROBOT, PRECISIONS

Value = str | int | float | bool
PROCESS, IN_PROCESS = "process", "in_process"
"""Values of the parameter `policy`; any other is the address of a policy server."""


@dataclass(frozen=True, kw_only=True)
class ParameterSpec:
    """One ROS parameter: default (its type is the parameter's type), meaning, and range."""

    default: Value
    description: str
    minimum: float | None = None
    maximum: float | None = None

    @property
    def kind(self) -> Parameter.Type:
        """ROS type of the parameter."""
        return Parameter.Type.from_parameter_value(self.default)


VLA_NODE_PARAMETERS: Mapping[str, ParameterSpec] = {
    "robot_file": ParameterSpec(default="", description="Path of the robot file (YAML)."),
    "checkpoint": ParameterSpec(default="", description="Folder of the trained policy."),
    "backend": ParameterSpec(
        default=BACKENDS[0],
        description="What the policy was trained with: vla, or lerobot, which needs policy_python "
        "to be a Python that has it.",
    ),
    "mode": ParameterSpec(
        default="drive",
        description="drive: command the arm; shadow: plan beside somebody who moves it, command "
        "nothing.",
    ),
    "device": ParameterSpec(
        default="auto", description="Where the policy computes: auto, cpu or cuda."
    ),
    "precision": ParameterSpec(
        default="exact",
        description="How the policy computes: exact; bf16 on CUDA; int8 on a CPU, which needs onnx "
        "and onnxruntime. A policy server's own --precision counts with ws://.",
    ),
    "policy": ParameterSpec(
        default=PROCESS,
        description="Where the policy lives: process (a child of the node), in_process, or a "
        "policy server: ws://HOST:PORT or wss://HOST:PORT.",
    ),
    "policy_python": ParameterSpec(
        default="",
        description="Python (3.11 or newer) of the policy's process; empty takes the node's.",
    ),
    "threads": ParameterSpec(
        default=0,
        description="Threads of the policy on a CPU; 0 takes all cores but one, for control.",
        minimum=0,
        maximum=256,
    ),
    "realtime_priority": ParameterSpec(
        default=50,
        description="Priority of the thread that ticks (SCHED_FIFO), where the user may have one; "
        "0 for none. Counts at the start of the process.",
        minimum=0,
        maximum=99,
    ),
    "speed_scale": ParameterSpec(
        default=1.0,
        description="Share of the robot file's velocity limits; only lowered while active.",
        minimum=0.01,
        maximum=1.0,
    ),
    "autostart": ParameterSpec(
        default=False,
        description="Configure and activate at start, for use without a lifecycle manager.",
    ),
    "recordings": ParameterSpec(
        default="", description="Folder for the last 30 s before a fault; empty: ~/.ros/vla_ros."
    ),
    "clock_timeout_s": ParameterSpec(
        default=0.5,
        description="The clock counts as stopped after standing still for this long [s].",
        minimum=0.05,
        maximum=60.0,
    ),
}

SHADOW = "shadow"
_MODES = ("drive", SHADOW)


@dataclass(frozen=True, kw_only=True)
class VlaNodeParameters:
    """The parameters of `vla_node`; their meaning stands in `VLA_NODE_PARAMETERS`."""

    robot_file: str
    checkpoint: str
    backend: str
    mode: str
    device: str
    precision: str
    policy: str
    policy_python: str
    threads: int
    realtime_priority: int
    speed_scale: float
    autostart: bool
    recordings: str
    clock_timeout_s: float

    @property
    def checkpoint_dir(self) -> Path:
        """Folder of the trained policy."""
        return Path(self.checkpoint)

    @property
    def is_shadow(self) -> bool:
        """Nothing is commanded."""
        return self.mode == SHADOW

    @property
    def is_remote(self) -> bool:
        """Whether `policy` is the address of a server that somebody else runs."""
        return "://" in self.policy


def declare_parameters(node: Node, table: Mapping[str, ParameterSpec]) -> None:
    """Declare the parameters of `table` on `node`.

    Raises:
        ParameterError: An override has an unknown name, a wrong type or a value out of range;
            lists all of them.
    """
    problems = _override_problems(node, table)
    for name, spec in table.items():
        try:
            if not any(problem.startswith(f"{name}: ") for problem in problems):
                node.declare_parameter(name, spec.default, _descriptor(spec))
        except InvalidParameterValueException as error:
            problems.append(f"{name}: {error}; valid: {spec.minimum} to {spec.maximum}")
    if problems:
        raise ParameterError(f"parameters of {node.get_name()}", problems)


def read_parameters(node: Node) -> VlaNodeParameters:
    """Read all parameters of `vla_node`: the only place that does."""
    values = {name: node.get_parameter(name).value for name in VLA_NODE_PARAMETERS}
    return VlaNodeParameters(**values)


def check_parameters(parameters: VlaNodeParameters) -> None:
    """Check what types and ranges cannot express.

    Raises:
        ParameterError: With all problems at once.
    """
    problems = []
    # A server tells itself what its policy is.
    for name in ("robot_file", *(() if parameters.is_remote else ("checkpoint",))):
        if not getattr(parameters, name):
            what = VLA_NODE_PARAMETERS[name].description
            problems.append(f"{name}: is not set; give it with -p {name}:=… ({what})")
    if parameters.mode not in _MODES:
        problems.append(f"mode: {parameters.mode!r} is unknown; valid: {', '.join(_MODES)}")
    problems += _policy_problems(parameters)
    choices = {"backend": BACKENDS, "device": DEVICES, "precision": PRECISIONS}
    problems += [
        f"{name}: {value!r} is unknown; valid: {', '.join(valid)}"
        for name, valid in choices.items()
        if (value := getattr(parameters, name)) not in valid
    ]
    if problems:
        raise ParameterError("parameters of vla_node", problems)


def _policy_problems(parameters: VlaNodeParameters) -> list[str]:
    problems = []
    if parameters.policy not in (PROCESS, IN_PROCESS) and not _is_address(parameters.policy):
        valid = f"{PROCESS}, {IN_PROCESS}, ws://HOST:PORT, wss://HOST:PORT"
        problems.append(f"policy: {parameters.policy!r} is unknown; valid: {valid}")
    if parameters.backend == LEROBOT and parameters.policy == IN_PROCESS:
        problems.append(
            f"policy: {LEROBOT} has an environment of its own; valid: {PROCESS}, ws://…"
        )
    if parameters.backend == LEROBOT and parameters.precision != PRECISIONS[0]:
        problems.append(f"precision: {parameters.precision} is not for {LEROBOT}; valid: exact")
    if parameters.precision == "bf16" and parameters.policy == IN_PROCESS:
        # In a process that had compiled, rclpy told of other publishers 45 s late.
        problems.append(f"precision: bf16 is not for policy {IN_PROCESS}; valid: {PROCESS}, ws://…")
    python = parameters.policy_python
    if python and shutil.which(python) is None:
        problems.append(f"policy_python: {python!r} is no program; valid: path of a Python")
    return problems


def _is_address(policy: str) -> bool:
    try:
        parts = urlsplit(policy)
        return parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # no number, or out of range
        return False


def refuse_changes(
    node: Node, table: Mapping[str, ParameterSpec], reason: Callable[[Parameter], str]
) -> None:
    """Refuse to set those of `table`, and `use_sim_time`, for which `reason` is not empty."""

    def check(parameters: list[Parameter]) -> SetParametersResult:
        ours = [p for p in parameters if p.name in table or p.name == "use_sim_time"]
        refusals = [f"{p.name}: {why}" for p in ours if (why := reason(p))]
        return SetParametersResult(successful=not refusals, reason="; ".join(refusals))

    node.add_on_set_parameters_callback(check)


def _override_problems(node: Node, table: Mapping[str, ParameterSpec]) -> list[str]:
    # rclpy has no public way to list the overrides of parameters that nobody declared.
    overrides: dict[str, Parameter] = node._parameter_overrides
    valid = ", ".join((*table, "use_sim_time"))
    problems = []
    for name, override in overrides.items():
        if name in table:
            spec = table[name]
            if override.type_ != spec.kind:
                problems.append(_type_problem(name, spec, override))
        elif not node.has_parameter(name) and not name.startswith("qos_overrides."):
            problems.append(f"{name}: there is no such parameter; valid: {valid}")
    return problems


def _type_problem(name: str, spec: ParameterSpec, override: Parameter) -> str:
    hint = " (write 1.0, not 1)" if spec.kind == Parameter.Type.DOUBLE else ""
    return (
        f"{name}: must be of type {spec.kind.name.lower()}{hint}, got {override.value!r} of type "
        f"{override.type_.name.lower()}"
    )


def _descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=spec.description)
    if spec.minimum is None or spec.maximum is None:
        return descriptor
    if spec.kind == Parameter.Type.INTEGER:
        limits = IntegerRange(from_value=int(spec.minimum), to_value=int(spec.maximum))
        descriptor.integer_range = [limits]
    else:
        limits = FloatingPointRange(from_value=spec.minimum, to_value=spec.maximum)
        descriptor.floating_point_range = [limits]
    return descriptor
