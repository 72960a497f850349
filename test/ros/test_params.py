"""Parameters: unknown names, wrong types and late changes are refused with a reason."""

from __future__ import annotations

import pytest
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_ros.errors import ParameterError
from vla_ros.ros import params

TABLE = params.VLA_NODE_PARAMETERS


@pytest.fixture
def make_node(context: Context):
    nodes = []

    def make(**overrides) -> Node:
        values = [Parameter(name, value=value) for name, value in overrides.items()]
        nodes.append(Node("some_node", context=context, parameter_overrides=values))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()


def test_defaults_and_overrides_arrive(make_node):
    node = make_node(device="cpu", threads=2, precision="int8")
    params.declare_parameters(node, TABLE)
    read = params.read_parameters(node)
    assert (read.device, read.threads, read.precision) == ("cpu", 2, "int8")
    assert (read.policy, read.autostart, read.clock_timeout_s) == ("process", False, 0.5)


def test_every_wrong_override_is_named_at_once(make_node):
    node = make_node(
        robot_fiel="panda.yaml", clock_timeout_s=1, threads=-1, use_sim_time=True, autostart="yes"
    )
    with pytest.raises(ParameterError) as caught:
        params.declare_parameters(node, TABLE)
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "robot_fiel: there is no such parameter; valid: robot_file, checkpoint" in text
    assert "clock_timeout_s: must be of type double (write 1.0, not 1), got 1" in text
    assert "autostart: must be of type bool, got 'yes' of type string" in text
    assert "threads:" in text
    assert "valid: 0 to 256" in text


def test_values_that_types_cannot_express_are_checked(make_node):
    node = make_node(policy="cloud", device="gpu", precision="int4", backend="jax")
    params.declare_parameters(node, TABLE)
    with pytest.raises(ParameterError) as caught:
        params.check_parameters(params.read_parameters(node))
    text = str(caught.value)
    assert "robot_file: is not set; give it with -p robot_file:=" in text
    assert "policy: 'cloud' is unknown; valid: process, in_process" in text
    assert "device: 'gpu' is unknown; valid: auto, cpu" in text
    assert "precision: 'int4' is unknown; valid: exact, bf16, int8" in text
    assert "backend: 'jax' is unknown; valid: vla, lerobot" in text
    assert "checkpoint: is not set" in text


def test_lerobot_is_refused_where_it_cannot_be(make_node):
    node = make_node(policy="in_process", backend="lerobot", precision="int8")
    params.declare_parameters(node, TABLE)
    with pytest.raises(ParameterError) as caught:
        params.check_parameters(params.read_parameters(node))
    text = str(caught.value)
    assert "policy: lerobot has an environment of its own; valid: process, ws://" in text
    assert "precision: int8 is not for lerobot; valid: exact" in text


def test_what_compiles_does_not_share_the_nodes_process(make_node):
    node = make_node(policy="in_process", precision="bf16")
    params.declare_parameters(node, TABLE)
    with pytest.raises(ParameterError, match="precision: bf16 is not for policy in_process"):
        params.check_parameters(params.read_parameters(node))


def test_a_policy_server_needs_no_checkpoint(make_node):
    node = make_node(policy="wss://box.example/policy", robot_file="panda.yaml")
    params.declare_parameters(node, TABLE)
    params.check_parameters(params.read_parameters(node))


@pytest.mark.parametrize("value", [float("nan"), 0.0, 1e9])
@pytest.mark.fault(24)
def test_a_number_out_of_range_is_refused(make_node, value):
    node = make_node()
    params.declare_parameters(node, TABLE)
    (result,) = node.set_parameters([Parameter("clock_timeout_s", value=value)])
    assert not result.successful
    assert "clock_timeout_s" in result.reason


def test_changes_are_refused_with_the_reason_while_there_is_one(make_node):
    node, reason = make_node(), ["the node is active"]
    params.declare_parameters(node, TABLE)
    params.refuse_changes(node, TABLE, lambda parameter: reason[0])
    (result,) = node.set_parameters([Parameter("device", value="cpu")])
    assert not result.successful
    assert result.reason == "device: the node is active"
    (result,) = node.set_parameters([Parameter("use_sim_time", value=True)])
    assert not result.successful
    assert not node.get_clock().ros_time_is_active
    reason[0] = ""
    (result,) = node.set_parameters([Parameter("device", value="cpu")])
    assert result.successful
    assert node.get_parameter("device").value == "cpu"
