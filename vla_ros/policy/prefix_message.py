"""The part of an observation's message that tells the running plan; see `messages.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from vla_ros.datatypes import ActionPrefix
from vla_ros.errors import MessageError
from vla_ros.policy_protocol import PolicySpec

PREFIX, FROZEN = "observation/prefix", "observation/prefix_frozen"


def prefix_to_message(prefix: ActionPrefix) -> dict[str, Any]:
    """The entries of a prefix."""
    return {PREFIX: prefix.actions, FROZEN: prefix.frozen}


def prefix_from_message(message: dict[Any, Any], spec: PolicySpec) -> ActionPrefix | None:
    """Read the prefix of a client's observation; `None` when it has none.

    Raises:
        MessageError: It has one that the policy cannot take.
    """
    if PREFIX not in message and FROZEN not in message:
        return None
    actions, frozen = message.get(PREFIX), message.get(FROZEN)
    names, most = spec.action_names, spec.prefix_steps
    if not isinstance(actions, np.ndarray):
        raise MessageError(f"{PREFIX!r} is a {type(actions).__name__}; valid: an array")
    if actions.dtype.kind not in "fiu" or actions.ndim != 2 or actions.shape[1] != len(names):
        raise MessageError(
            f"{PREFIX!r} is {actions.dtype} {actions.shape}; valid: numbers of shape "
            f"(n, {len(names)}), n from 1 to {most}: {', '.join(names)}"
        )
    if not 1 <= len(actions) <= most or not np.isfinite(actions).all():
        raise MessageError(
            f"{PREFIX!r} has {len(actions)} steps, or a number that is not finite; valid: 1 to "
            f"{most} finite steps"
        )
    if type(frozen) is not int or not 0 <= frozen <= len(actions):
        raise MessageError(
            f"{FROZEN!r} is {frozen!s:.40}; valid: a whole number from 0 to {len(actions)}, the "
            f"steps of {PREFIX!r}"
        )
    return ActionPrefix(actions=actions.astype(np.float64), frozen=frozen)
