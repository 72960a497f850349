"""The launch files name what exists, document every argument and reach `active` in order."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from vla_ros.errors import ParameterError, RobotFileError
from vla_ros.policy_protocol import PRECISIONS
from vla_ros.ros.dds_profile import PROFILE_VARIABLES

ROOT = Path(__file__).parents[2]
FILES = tuple(sorted(path.name for path in (ROOT / "launch").glob("*.launch.py")))
# Files that include vla.launch.py, whose arguments are theirs too.
WITH_VLA = ("gazebo.launch.py", "moveit_servo.launch.py", "sim.launch.py")
CONFIGURE, ACTIVATE = 1, 3
XML = "{http://www.eprosima.com}"


def of_kind(entities, kind):
    return [entity for entity in entities if type(entity).__name__ == kind]


def only(entities, kind):
    (found,) = of_kind(entities, kind)
    return found


def nodes(entities):
    """All nodes, those that wait for another one too."""
    waiting = [handler.event_handler for handler in of_kind(entities, "RegisterEventHandler")]
    later = [entity for handler in waiting for entity in getattr(handler, "on_exit", [])]
    return [*of_kind([*entities, *later], "Node"), *of_kind(entities, "LifecycleNode")]


def console_scripts() -> dict[str, str]:
    """Executables of setup.py: name to `module:function`."""
    text = (ROOT / "setup.py").read_text()
    lines = [
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "=" in node.value
    ]
    found = [re.fullmatch(r"\s*(\w+)\s*=\s*([\w.]+:\w+)\s*", line) for line in lines]
    return {match[1]: match[2] for match in found if match}


@pytest.mark.parametrize("file", FILES)
def test_every_argument_is_described_and_has_a_default_among_its_choices(describe, file):
    arguments = of_kind(describe(file), "DeclareLaunchArgument")
    assert arguments
    for argument in arguments:
        assert len(argument.description) > 10
        assert argument.description.endswith(".")
        assert argument.default_value is not None
        assert argument.choices is None or argument.default_value in argument.choices


def test_the_choices_of_a_parameter_are_the_nodes(describe):
    arguments = of_kind(describe("vla.launch.py"), "DeclareLaunchArgument")
    choices = {argument.name: argument.choices for argument in arguments if argument.choices}
    assert choices["precision"] == list(PRECISIONS)


def test_namespace_does_not_promise_to_move_absolute_topics(describe):
    robot_file = (ROOT / "config" / "panda.yaml").read_text()
    assert "topic: /" in robot_file
    arguments = of_kind(describe("vla.launch.py"), "DeclareLaunchArgument")
    (namespace,) = (argument for argument in arguments if argument.name == "namespace")
    assert "topics with a leading / stay" in namespace.description


@pytest.mark.parametrize("file", FILES)
def test_every_configuration_that_is_used_is_declared(describe, file):
    declared = {
        argument.name
        for name in ([file, "vla.launch.py"] if file in WITH_VLA else [file])
        for argument in of_kind(describe(name), "DeclareLaunchArgument")
    }
    # Also where a function uses it only when it runs.
    text = (ROOT / "launch" / file).read_text()
    used = set(re.findall(r"LaunchConfiguration\(\"(\w+)\"\)", text))
    used |= set(re.findall(r"LaunchConfiguration\(name='(\w+)'\)", repr(describe(file))))
    assert used
    assert used <= declared


@pytest.mark.parametrize("file", FILES)
def test_every_executable_is_installed_by_setup_py(describe, file):
    scripts = console_scripts()
    for node in nodes(describe(file)):
        if node.package != "vla_ros":
            continue
        module, function = scripts[node.executable].split(":")
        text = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
        assert f"def {function}(" in text


@pytest.mark.parametrize(
    ("file", "executable", "table"),
    [
        ("vla.launch.py", "vla_node", "vla_ros.ros.params.VLA_NODE_PARAMETERS"),
        ("sim.launch.py", "sim_node", "vla_ros.ros.sim_parameters.SIM_NODE_PARAMETERS"),
    ],
)
def test_parameters_are_those_the_node_declares_and_of_their_type(
    describe, file, executable, table
):
    pytest.importorskip("rclpy")
    module, _, name = table.rpartition(".")
    declared = getattr(importlib.import_module(module), name)
    (node,) = [node for node in nodes(describe(file)) if node.executable == executable]
    (given,) = node.parameters
    types = {name: type(declared[name].default) for name in given if name != "use_sim_time"}
    assert types
    assert types == {name: value.value_type for name, value in given.items() if name in types}


def test_every_parameter_of_the_node_is_a_launch_argument_with_its_default(describe):
    params = pytest.importorskip("vla_ros.ros.params")
    entities = describe("vla.launch.py")
    given = only(entities, "LifecycleNode").parameters[0]
    # The launch file activates the node by events, in which `autostart` is used.
    wanted = {name: spec.default for name, spec in params.VLA_NODE_PARAMETERS.items()}
    del wanted["autostart"]
    assert set(given) == {*wanted, "use_sim_time"}
    arguments = of_kind(entities, "DeclareLaunchArgument")
    defaults = {argument.name: argument.default_value for argument in arguments}
    for name in ("speed_scale", "recordings", "clock_timeout_s"):
        assert given[name].value.name == name
        assert given[name].value_type(defaults[name]) == wanted[name]


def test_the_recommended_first_motion_can_be_given(describe, monkeypatch):
    words = ["speed_scale:=0.1", "recordings:=/tmp", "clock_timeout_s:=1.0"]
    monkeypatch.setattr("sys.argv", ["ros2", "launch", "vla_ros", "vla.launch.py", *words])
    describe("vla.launch.py")


@pytest.mark.parametrize("file", FILES)
def test_files_that_are_named_exist(describe, file):
    entities = describe(file)
    named = [argument.default_value for argument in of_kind(entities, "DeclareLaunchArgument")]
    named += [action.value.default_value for action in of_kind(entities, "SetEnvironmentVariable")]
    # What is included and what nodes are given, wherever it stands: all below our folder.
    named += re.findall(rf"({re.escape(str(ROOT))}/[\w./]+)", repr(entities))
    # The checkpoint is made by training; a source tree may lack it.
    paths = [path for path in named if path.startswith("/") and "checkpoints/" not in path]
    assert paths
    for path in paths:
        assert Path(path).is_file(), path


def test_configures_then_activates_once_unless_autostart_is_false(describe):
    entities = describe("vla.launch.py")
    node = only(entities, "LifecycleNode")
    configure = only(entities, "EmitEvent")
    registered = only(entities, "RegisterEventHandler")
    handler = registered.event_handler
    (activate,) = handler.entities
    assert configure.event.transition_id == CONFIGURE
    assert activate.event.transition_id == ACTIVATE
    assert configure.event.lifecycle_node_matcher == ("matches", node)
    assert activate.event.lifecycle_node_matcher == ("matches", node)
    assert handler.target_lifecycle_node is node
    # Not on every way to `inactive`: a deactivated node must stay so.
    assert (handler.start_state, handler.goal_state) == ("configuring", "inactive")
    for action in (configure, registered, activate):
        assert action.condition.predicate.name == "autostart"
    # The handler must listen before the first transition can happen.
    assert entities.index(registered) < entities.index(node) < entities.index(configure)


def test_shared_memory_profile_is_set_before_any_process_and_a_users_own_wins(describe):
    entities = describe("vla.launch.py")
    actions = of_kind(entities, "SetEnvironmentVariable")
    assert [action.name for action in actions] == list(PROFILE_VARIABLES)
    for action in actions:
        assert action.value.name == action.name
        assert Path(action.value.default_value) == ROOT / "config/fastdds_shm.xml"
        assert entities.index(action) < entities.index(only(entities, "LifecycleNode"))


@pytest.mark.parametrize("file", ["sim.launch.py", "moveit_servo.launch.py"])
def test_profile_is_set_before_the_simulated_robot_is_started(describe, file):
    entities = describe(file)
    include = only(entities, "IncludeLaunchDescription")
    assert Path(include.source.path).name == "vla.launch.py"
    assert all(entities.index(include) < entities.index(node) for node in nodes(entities))


@pytest.mark.parametrize("file", ["sim.launch.py", "moveit_servo.launch.py"])
def test_simulated_robot_publishes_the_clock_exactly_when_others_follow_it(describe, file):
    (robot,) = [node for node in nodes(describe(file)) if node.executable == "sim_node"]
    (parameters,) = robot.parameters
    assert parameters["publish_clock"].value.name == "use_sim_time"


def test_profile_is_large_enough_and_keeps_the_network():
    root = ElementTree.parse(ROOT / "config/fastdds_shm.xml").getroot()
    transports = {
        found.findtext(f"{XML}type"): found for found in root.iter(f"{XML}transport_descriptor")
    }
    assert set(transports) == {"SHM", "UDPv4"}
    segment = int(transports["SHM"].findtext(f"{XML}segment_size") or 0)
    assert segment >= 32 * 1024 * 1024
    used = {found.text for found in root.iterfind(f".//{XML}userTransports/*")}
    assert used == {found.findtext(f"{XML}transport_id") for found in transports.values()}


@pytest.mark.parametrize("file", FILES)
def test_arguments_that_no_file_has_are_refused(describe, file, monkeypatch):
    command = ["ros2", "launch", "vla_ros", file]
    monkeypatch.setattr("sys.argv", [*command, "robto_file:=my.yaml", "autostart"])
    with pytest.raises(
        ParameterError, match=f"{file}: 1 problem.*\n.*robto_file: is unknown; valid"
    ):
        describe(file)
    monkeypatch.setattr("sys.argv", [*command, "robot_file:=my.yaml"])
    if file in ("vla.launch.py", "rviz.launch.py"):  # others have it through their include
        describe(file)
    # Another launch file that includes ours has arguments of its own.
    monkeypatch.setattr("sys.argv", ["ros2", "launch", "lab", "cell.launch.py", "cell:=3"])
    describe(file)


def test_wrong_robot_file_is_refused_before_anything_is_started(describe, context, tmp_path):
    entities = describe("vla.launch.py")
    refuse = only(entities, "OpaqueFunction")
    assert entities.index(refuse) < entities.index(only(entities, "LifecycleNode"))
    assert refuse.function(context()) is None
    path = tmp_path / "wrong.yaml"
    path.write_text("robot: r")
    with pytest.raises(RobotFileError, match="tick_hz"):
        refuse.function(context(robot_file=str(path)))


@pytest.mark.parametrize("file", FILES)
def test_real_launch_accepts_the_file(file):
    pytest.importorskip("launch_ros", reason="launch_ros comes with a ROS 2 install")
    from launch import LaunchContext
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    source = PythonLaunchDescriptionSource(str(ROOT / "launch" / file))
    description = source.get_launch_description(LaunchContext())
    names = {argument.name for argument in description.get_launch_arguments()}
    assert {"robot_file", "use_sim_time"} <= names
    if file != "rviz.launch.py":
        assert {"checkpoint", "device", "autostart", "rviz"} <= names
