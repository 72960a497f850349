"""What the README shows is there: links, pictures, parameters and keys."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from vla_ros.ros.params import VLA_NODE_PARAMETERS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def text() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def robot_schema() -> dict:
    return json.loads((ROOT / "vla_ros" / "robot_schema.json").read_text())


def validator(schema: dict) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema)


def section(text: str, title: str) -> str:
    """What stands under a heading of the second level."""
    _, _, rest = text.partition(f"\n## {title}\n")
    assert rest, f"no section {title!r}"
    return rest.partition("\n## ")[0]


def test_every_link_and_picture_leads_to_a_file(text):
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    files = [target.partition("#")[0] for target in targets if "://" not in target]
    assert any(files)
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_no_placeholder_is_left(text):
    assert re.findall(r"@\w+@", text) == []


def test_the_table_of_parameters_is_the_nodes(text):
    table = section(text, "With ROS 2").partition("| parameter | default |")[2]
    rows = re.findall(r"^\| `(\w+)` \| (?:`([^`]*)`)? *\|", table, re.MULTILINE)
    shown = {name: yaml.safe_load(default) if default else "" for name, default in rows}
    assert shown == {name: spec.default for name, spec in VLA_NODE_PARAMETERS.items()}


def test_the_robot_file_that_is_shown_has_the_keys_of_the_schema(text):
    (block,) = re.findall(r"```yaml\n(.*?)```", section(text, "The robot file"), re.DOTALL)
    errors = validator(robot_schema()).iter_errors(yaml.safe_load(block))
    # Lists are cut short with `...`, so types are not looked at.
    kinds = ("additionalProperties", "required")
    assert [error.message for error in errors if error.validator in kinds] == []


def test_the_descriptions_of_policies_that_do_not_describe_themselves_are_valid(text):
    found = re.findall(r"```yaml\n(.*?)```", section(text, "Where the policy lives"), re.DOTALL)
    blocks = [yaml.safe_load(block) for block in found]
    assert [list(block) for block in blocks] == [["lerobot"], ["policy_server"]]
    schema = robot_schema()
    for block in blocks:
        validator({**schema, "required": list(block)}).validate(block)
