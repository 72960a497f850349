"""The SROS2 policy file allows what the node does and no more, and nobody else its commands."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from rclpy.context import Context
from rclpy.node import Node
from ros_bench import CONFIGURE, Bench
from ros_fakes import FakePolicy
from sros2_policy import allowed, may, read_rules, schema_problems

from vla_ros.policy.checkpoint import read_spec
from vla_ros.ros.policy_source import PolicySource

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "config" / "sros2" / "vla.policy.xml"
ENCLAVE = "/vla/vla_node"
COMMANDS = {f"/panda_{part}_controller/joint_trajectory" for part in ("arm", "hand")}
RULES = read_rules(POLICY)
BUTTONS = """
safety:
  emergency_stop: {topic: /emergency_stop}
  deadman: {topic: /deadman, max_age_s: 0.3}
"""


@pytest.fixture
def panda_file(tmp_path: Path) -> Path:
    """The Panda's robot file, with all that it may subscribe to."""
    text = (ROOT / "config" / "panda.yaml").read_text()
    text = text.replace("../description", str(ROOT / "description"))
    path = tmp_path / "panda.yaml"
    path.write_text(text + BUTTONS)
    return path


@pytest.fixture
def graph(bench: Bench, context: Context, panda_file: Path, spinner):
    """What the configured node uses, by verb, as the graph tells it."""
    policy = FakePolicy()
    policy.spec = read_spec(ROOT / "checkpoints" / "tabletop")
    source = PolicySource(read_spec=lambda folder: policy.spec, load=lambda parameters: policy)
    bench.start_with(source, robot_file=str(panda_file), use_sim_time=True)
    assert bench.change(CONFIGURE)
    onlooker = Node("onlooker", context=context)
    spinner.add(onlooker)

    def seen() -> dict[str, set[str]]:
        questions = {
            "publish": onlooker.get_publisher_names_and_types_by_node,
            "subscribe": onlooker.get_subscriber_names_and_types_by_node,
            "reply": onlooker.get_service_names_and_types_by_node,
            "request": onlooker.get_client_names_and_types_by_node,
        }
        return {
            verb: {name for name, _ in question("vla_node", "/")}
            for verb, question in questions.items()
        }

    bench.until(lambda: seen()["publish"] >= COMMANDS and "/clock" in seen()["subscribe"], "graph")
    return seen()


def test_the_policy_is_of_the_schema():
    assert schema_problems(ElementTree.parse(POLICY).getroot()) == []


def test_the_node_may_do_what_it_does_and_no_more(graph):
    assert {verb: allowed(RULES, ENCLAVE, verb) for verb in graph} == graph


def test_nobody_else_may_command_the_arm():
    for command in COMMANDS:
        assert may(RULES, ENCLAVE, "publish", command)
        enclaves = {rule.enclave for rule in RULES} | {"/vla/rival", "/vla", "/"}
        publishers = {one for one in enclaves if may(RULES, one, "publish", command)}
        assert publishers == {ENCLAVE}
        assert may(RULES, "/vla/robot", "subscribe", command)


def test_no_name_is_a_pattern():
    """A `*` would let an enclave publish commands that the other tests do not look for."""
    assert not [rule.name for rule in RULES if set(rule.name) & set("*?[")]


def test_what_the_node_hears_somebody_may_say_and_what_it_offers_somebody_may_ask():
    others = {rule.enclave for rule in RULES} - {ENCLAVE}
    for verb, answer in (("subscribe", "publish"), ("reply", "request")):
        said = set().union(*(allowed(RULES, one, answer) for one in others))
        assert allowed(RULES, ENCLAVE, verb) <= said


def test_a_rule_that_denies_wins_and_a_stranger_may_nothing(tmp_path: Path):
    text = POLICY.read_text()
    rival = (
        '<context path="/vla/rival"><profiles><profile ns="/a" node="rival">'
        '<topics publish="ALLOW"><topic>x</topic><topic>~/y</topic></topics>'
        '<topics publish="DENY"><topic>/a/x</topic></topics>'
        "</profile></profiles></context></contexts>"
    )
    path = tmp_path / "rival.policy.xml"
    path.write_text(text.replace("</contexts>", rival))
    assert allowed(read_rules(path), "/vla/rival", "publish") == {"/a/rival/y"}
    broken = ElementTree.fromstring(text.replace('publish="ALLOW"', 'publish="YES"', 1))
    assert len(schema_problems(broken)) == 1
