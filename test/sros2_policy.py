"""Reads an SROS2 policy file as SROS2 does, in names of the ROS graph.

SROS2 turns `~/x` into `<ns><node>/x` and `x` into `<ns>x`, denies what is not allowed, and lets
DENY win over ALLOW (the stylesheet permissions.xsl of its package).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

# Children and attributes of each element, by SROS2's policy.xsd: required attributes, then others.
_SCHEMA: dict[str, tuple[set[str], set[str], set[str]]] = {
    "policy": ({"contexts"}, {"version"}, set()),
    "contexts": ({"context"}, set(), set()),
    "context": ({"profiles"}, {"path"}, set()),
    "profiles": ({"profile"}, set(), {"type"}),
    "profile": ({"topics", "services", "actions"}, {"ns", "node"}, set()),
    "topics": ({"topic"}, set(), {"publish", "subscribe"}),
    "services": ({"service"}, set(), {"request", "reply"}),
    "actions": ({"action"}, set(), {"call", "execute"}),
    **{leaf: (set(), set(), set()) for leaf in ("topic", "service", "action")},
}
_MAY_BE_EMPTY = ("profile", "topic", "service", "action")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of a policy: `verb` is publish, subscribe, request, reply, call or execute."""

    enclave: str
    verb: str
    name: str
    is_allowed: bool


def schema_problems(element: ElementTree.Element, path: str = "") -> list[str]:
    """Where a policy is not as SROS2's schema has it."""
    path = f"{path}/{element.tag}"
    if element.tag not in _SCHEMA:
        return [f"{path} is unknown"]
    children, required, optional = _SCHEMA[element.tag]
    given = set(element.keys())
    problems = [f"{path} lacks {name}" for name in required - given]
    problems += [f"{path} has {name}" for name in given - required - optional]
    problems += [
        f"{path}: {name}={element.get(name)!r}"
        for name in optional - {"type"}
        if element.get(name) not in (None, "ALLOW", "DENY")
    ]
    problems += [
        f"{path}/{child.tag} is misplaced" for child in element if child.tag not in children
    ]
    if not len(element) and element.tag not in _MAY_BE_EMPTY:
        problems.append(f"{path} is empty")
    return problems + [text for child in element for text in schema_problems(child, path)]


def read_rules(path: Path) -> list[Rule]:
    """All rules of a policy file."""
    root = ElementTree.parse(path).getroot()
    return [rule for context in root.iter("context") for rule in _rules(context)]


def may(rules: list[Rule], enclave: str, verb: str, name: str) -> bool:
    """Whether an enclave may do that; one that the policy does not know may do nothing."""
    found = {
        rule.is_allowed
        for rule in rules
        if (rule.enclave, rule.verb, rule.name) == (enclave, verb, name)
    }
    return found == {True}


def allowed(rules: list[Rule], enclave: str, verb: str) -> set[str]:
    """Every name with which an enclave may do that."""
    names = {rule.name for rule in rules}
    return {name for name in names if may(rules, enclave, verb, name)}


def _rules(context: ElementTree.Element) -> Iterator[Rule]:
    for profile in context.iter("profile"):
        for group in profile:
            for verb, qualifier in group.items():
                for entry in group:
                    yield Rule(
                        enclave=context.get("path", ""),
                        verb=verb,
                        name=_full_name(entry.text or "", profile),
                        is_allowed=qualifier == "ALLOW",
                    )


def _full_name(name: str, profile: ElementTree.Element) -> str:
    namespace = profile.get("ns", "").rstrip("/") + "/"
    if name.startswith("/"):
        return name
    if name.startswith("~"):
        return f"{namespace}{profile.get('node')}{name[1:]}"
    return namespace + name
