"""Recording stand-ins for launch and launch_ros, which pip cannot install.

Their signatures are those of the real classes as far as the launch files use them, so a misspelt
argument fails here too. Where launch_ros is installed, `test_launch.py` also runs the real one.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

LAUNCH_DIR = Path(__file__).parents[2] / "launch"


@dataclass(frozen=True)
class LaunchContext:
    """What the arguments were set to."""

    launch_configurations: dict[str, str]


@dataclass(frozen=True)
class LaunchDescription:
    entities: list[Any]

    def get_launch_arguments(self) -> list[DeclareLaunchArgument]:
        return [entity for entity in self.entities if isinstance(entity, DeclareLaunchArgument)]


@dataclass(frozen=True)
class DeclareLaunchArgument:
    name: str
    default_value: str | None = None
    description: str = ""
    choices: list[str] | None = None


@dataclass(frozen=True)
class LaunchConfiguration:
    name: str

    def perform(self, context: LaunchContext) -> str:
        return context.launch_configurations[self.name]


@dataclass(frozen=True)
class EnvironmentVariable:
    name: str
    default_value: str | None = None


@dataclass(frozen=True)
class SetEnvironmentVariable:
    name: str
    value: Any


@dataclass(frozen=True)
class Command:
    command: list[Any]


@dataclass(frozen=True, kw_only=True)
class FindExecutable:
    name: str


@dataclass(frozen=True)
class FindPackageShare:
    package: str


@dataclass(frozen=True)
class IfElseSubstitution:
    condition: Any
    if_value: str
    else_value: str


@dataclass(frozen=True)
class PathJoinSubstitution:
    substitutions: list[Any]


@dataclass(frozen=True)
class IfCondition:
    predicate: Any


@dataclass(frozen=True)
class EmitEvent:
    event: Any
    condition: Any = None


@dataclass(frozen=True)
class RegisterEventHandler:
    event_handler: Any
    condition: Any = None


@dataclass(frozen=True, kw_only=True)
class OnProcessExit:
    target_action: Any
    on_exit: list[Any]


@dataclass(frozen=True, kw_only=True)
class OpaqueFunction:
    function: Callable[[LaunchContext], Any]


@dataclass(frozen=True)
class IncludeLaunchDescription:
    source: Any
    launch_arguments: Any = None
    condition: Any = None


@dataclass(frozen=True)
class PythonLaunchDescriptionSource:
    path: Any


@dataclass(frozen=True)
class ParameterValue:
    value: Any
    value_type: type


@dataclass(frozen=True, kw_only=True)
class Node:
    package: str
    executable: str
    name: str
    namespace: Any = None
    arguments: list[Any] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)
    remappings: list[tuple[str, str]] = field(default_factory=list)
    ros_arguments: list[Any] = field(default_factory=list)
    output: str = "log"
    condition: Any = None


@dataclass(frozen=True, kw_only=True)
class LifecycleNode(Node):
    pass


@dataclass(frozen=True, kw_only=True)
class OnStateTransition:
    target_lifecycle_node: Any
    start_state: str
    goal_state: str
    entities: list[Any]


@dataclass(frozen=True, kw_only=True)
class ChangeState:
    lifecycle_node_matcher: Any
    transition_id: int


def matches_action(action: Any) -> tuple[str, Any]:
    return ("matches", action)


MODULES: dict[str, tuple[Any, ...]] = {
    "launch": (LaunchContext, LaunchDescription),
    "launch.actions": (
        DeclareLaunchArgument,
        EmitEvent,
        IncludeLaunchDescription,
        OpaqueFunction,
        RegisterEventHandler,
        SetEnvironmentVariable,
    ),
    "launch.conditions": (IfCondition,),
    "launch.event_handlers": (OnProcessExit,),
    "launch.events": (matches_action,),
    "launch.launch_description_sources": (PythonLaunchDescriptionSource,),
    "launch.substitutions": (
        Command,
        EnvironmentVariable,
        FindExecutable,
        IfElseSubstitution,
        LaunchConfiguration,
        PathJoinSubstitution,
    ),
    "launch_ros": (),
    "launch_ros.actions": (LifecycleNode, Node),
    "launch_ros.event_handlers": (OnStateTransition,),
    "launch_ros.events": (),
    "launch_ros.events.lifecycle": (ChangeState,),
    "launch_ros.parameter_descriptions": (ParameterValue,),
    "launch_ros.substitutions": (FindPackageShare,),
}


@pytest.fixture
def describe(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Any]]:
    """Load a launch file on top of the stand-ins and return the entities it describes."""
    for name, members in MODULES.items():
        module = ModuleType(name)
        for member in members:
            setattr(module, member.__name__, member)
        monkeypatch.setitem(sys.modules, name, module)

    def load(file: str) -> list[Any]:
        spec = importlib.util.spec_from_file_location("launch_file", LAUNCH_DIR / file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return list(module.generate_launch_description().entities)

    return load


@pytest.fixture
def context() -> Callable[..., LaunchContext]:
    """Make what an OpaqueFunction gets: the defaults of vla.launch.py, and what is given."""
    defaults = {
        "robot_file": str(LAUNCH_DIR.parent / "config/panda.yaml"),
        "namespace": "",
        "publish_description": "false",
        "use_sim_time": "false",
    }
    return lambda **given: LaunchContext({**defaults, **given})
