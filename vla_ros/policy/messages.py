"""What a policy server and its clients say to each other, as values of `codec.py`.

The protocol is openpi's: the server greets with its metadata; then each observation gets an answer.

- Observation: `observation/image/<camera>` uint8 (H, W, 3) RGB for each camera, of any size;
  `observation/state` (S,) in the order of `state_names`, joints [rad], gripper opening last;
  `prompt`, the instruction. For a policy that takes a prefix there may be one, both or none:
  `observation/prefix` (n, A), what the running plan does at the due times of the first n steps, in
  the order of `action_names`, and `observation/prefix_frozen`, how many of them will have been
  played when the answer is there.
- Answer: `actions` (T, A) in the order of `action_names`, and `server_timing` with `infer_ms`.
- Metadata: `vla_ros` with the `PolicySpec` and the SHA-256 of the weights; other servers have none,
  and the robot file says it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from vla_ros.datatypes import ActionPrefix, FloatArray, Frame, Observation, RobotState
from vla_ros.errors import MessageError
from vla_ros.image import RESIZE_MODES, resize
from vla_ros.kinematics import KinematicChain
from vla_ros.policy.prefix_message import FROZEN, PREFIX, prefix_to_message
from vla_ros.policy_protocol import CameraSpec, PolicySpec
from vla_ros.robot_config import GRIPPER

SPEC_KEY, _WEIGHTS_KEY = "vla_ros", "weights_sha256"
ACTIONS, TIMING = "actions", "server_timing"
_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_PROMPT = 4096
_MAX_SIDE_PX = 8192
_MAX_STEPS = 1000


@dataclass(frozen=True, kw_only=True)
class ObservationKeys:
    """Under which keys a server wants an observation.

    Attributes:
        images: Key of each camera by its name in the robot file.
        prompt: Key of the instruction.
        state: Key of the whole state (S,); `None` when the server wants none.
        joints: Key of the joints alone (J,); `None` when the server wants none.
        gripper: Key of the gripper opening alone (1,); `None` when the server wants none.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    prompt: str = "prompt"
    state: str | None = "observation/state"
    joints: str | None = None
    gripper: str | None = None


def keys_of(spec: PolicySpec) -> ObservationKeys:
    """The keys that our own server takes."""
    names = [camera.name for camera in spec.cameras]
    return ObservationKeys(images={name: f"observation/image/{name}" for name in names})


def observation_to_message(
    observation: Observation,
    spec: PolicySpec,
    keys: ObservationKeys,
    prefix: ActionPrefix | None = None,
) -> dict[str, Any]:
    """The message of an observation; pictures are made as large as the policy wants them.

    A `prefix` is cut to what the policy takes.
    """
    message: dict[str, Any] = {keys.prompt: observation.instruction}
    prefix = None if prefix is None else prefix.first(spec.prefix_steps)
    message |= {} if prefix is None else prefix_to_message(prefix)
    for camera in spec.cameras:
        pixels = observation.frames[camera.name].pixels
        pixels = resize(pixels, camera.height_px, camera.width_px, camera.resize)
        message[keys.images[camera.name]] = pixels
    state = observation.state
    gripper = np.array([] if state.gripper_open is None else [state.gripper_open])
    parts = {
        keys.state: np.concatenate([state.position_rad, gripper]),
        keys.joints: state.position_rad,
        keys.gripper: gripper,
    }
    return message | {key: value for key, value in parts.items() if key is not None}


def observation_from_message(message: object, spec: PolicySpec) -> Observation:
    """Read a client's observation.

    Raises:
        MessageError: With everything in it that is not as the policy needs it.
    """
    if not isinstance(message, dict):
        raise MessageError(f"an observation is a map, got a {type(message).__name__}")
    keys = keys_of(spec)
    needed = [*keys.images.values(), str(keys.state), keys.prompt]
    valid = [*needed, *([PREFIX, FROZEN] if spec.prefix_steps else [])]
    unknown = [str(key)[:80] for key in message if key not in valid]
    problems = [f"{key!r} is unknown; valid: {', '.join(valid)}" for key in unknown[:5]]
    problems += [f"{key!r} is missing" for key in needed if key not in message]
    problems += [
        f"{key!r} {problem}"
        for key in needed
        if key in message
        for problem in _problems(key, message[key], keys, spec)
    ]
    if problems:
        raise MessageError(f"the observation cannot be used: {'; '.join(problems)}")
    return _observation(message, keys, spec)


def actions_from_message(message: object, shape: tuple[int, int]) -> FloatArray:
    """Read a server's answer: actions (T, A).

    Raises:
        MessageError: There are none, or of another shape.
    """
    actions = message.get(ACTIONS) if isinstance(message, dict) else None
    if not isinstance(actions, np.ndarray) or actions.dtype.kind != "f":
        raise MessageError(f"the answer has no array of floats under {ACTIONS!r}")
    if actions.shape != shape:
        raise MessageError(
            f"the policy server gave {ACTIONS} of shape {actions.shape}, expected {shape}: "
            "policy_server.horizon steps, by the entries of the robot file's actions"
        )
    return actions.astype(np.float64)


def metadata(spec: PolicySpec, weights_sha256: str = "") -> dict[str, Any]:
    """The server's greeting; `weights_sha256` is the digest of its weights, empty when unknown."""
    chain = None if spec.chain is None else dict(vars(spec.chain))
    said = {name: value for name, value in asdict(spec).items() if name != "chain"}
    about = {"version": _VERSION, **said, "chain": chain, _WEIGHTS_KEY: weights_sha256}
    return {SPEC_KEY: about}


def weights_from_metadata(greeting: object) -> str:
    """The digest of the weights in a server's greeting; empty when it tells none.

    Raises:
        MessageError: It tells something else.
    """
    said = greeting.get(SPEC_KEY) if isinstance(greeting, dict) else None
    digest = said.get(_WEIGHTS_KEY, "") if isinstance(said, dict) else ""
    if isinstance(digest, str) and (not digest or _SHA256.fullmatch(digest)):
        return digest
    raise MessageError(
        f"the policy server tells {_WEIGHTS_KEY} {str(digest)[:80]!r}; valid: 64 hexadecimal digits"
    )


def spec_from_metadata(greeting: object) -> PolicySpec | None:
    """The `PolicySpec` in a server's greeting; `None` when it has none.

    Raises:
        MessageError: It has one that cannot be used.
    """
    said = greeting.get(SPEC_KEY) if isinstance(greeting, dict) else None
    if said is None:
        return None
    try:
        if said["version"] != _VERSION:
            raise MessageError(
                f"the policy server speaks version {said['version']!s:.40}, this node {_VERSION}: "
                "install the same vla_ros on both"
            )
        return _spec(said)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise MessageError(
            f"the policy server's metadata cannot be used: {type(error).__name__}: {error}"
        ) from error


def _problems(key: str, value: Any, keys: ObservationKeys, spec: PolicySpec) -> list[str]:
    if key == keys.prompt:
        return _prompt_problems(value)
    if not isinstance(value, np.ndarray):
        return [f"is a {type(value).__name__}; valid: an array"]
    return _state_problems(value, spec) if key == keys.state else _image_problems(value)


def _prompt_problems(value: Any) -> list[str]:
    if isinstance(value, str) and 0 < len(value) <= _MAX_PROMPT:
        return []
    got = f"of {len(value)} characters" if isinstance(value, str) else f"a {type(value).__name__}"
    return [f"is {got}; valid: a text of 1 to {_MAX_PROMPT} characters"]


def _state_problems(value: np.ndarray[Any, Any], spec: PolicySpec) -> list[str]:
    wanted = (len(spec.state_names),)
    if value.shape != wanted or value.dtype.kind not in "fiu":
        names = ", ".join(spec.state_names)
        return [f"is {value.dtype} {value.shape}; valid: numbers of shape {wanted}: {names}"]
    return [] if np.isfinite(value).all() else ["has a number that is not finite"]


def _image_problems(value: np.ndarray[Any, Any]) -> list[str]:
    is_fine = value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] == 3
    if is_fine and all(1 <= side <= _MAX_SIDE_PX for side in value.shape):
        return []
    return [
        f"is {value.dtype} {value.shape}; valid: uint8 (H, W, 3), RGB, at most {_MAX_SIDE_PX} "
        "pixels high and wide"
    ]


def _observation(
    message: Mapping[Any, Any], keys: ObservationKeys, spec: PolicySpec
) -> Observation:
    state = np.asarray(message[keys.state], np.float64)
    joints = len(state) - (GRIPPER in spec.state_names)
    return Observation(
        frames={name: Frame(pixels=message[key], stamp_s=0.0) for name, key in keys.images.items()},
        state=RobotState(
            position_rad=state[:joints],
            velocity_rad_s=np.zeros(joints),
            gripper_open=float(state[joints]) if len(state) > joints else None,
            stamp_s=0.0,
        ),
        instruction=message[keys.prompt],
        epoch=0,
        stamp_s=0.0,
    )


def _spec(said: Mapping[str, Any]) -> PolicySpec:
    cameras = tuple(CameraSpec(**camera) for camera in said["cameras"])
    names = (*said["state_names"], *said["action_names"], said["robot"], said["action_meaning"])
    sides = [side for camera in cameras for side in (camera.height_px, camera.width_px)]
    horizon, step_s = int(said["horizon"]), float(said["step_s"])
    prefix_steps = int(said.get("prefix_steps", 0))  # a server of before it does not say
    if not all(isinstance(name, str) for name in (*names, *(camera.name for camera in cameras))):
        raise ValueError("a name is no text")
    if not all(type(side) is int and 1 <= side <= _MAX_SIDE_PX for side in sides):
        raise ValueError(f"a camera is not 1 to {_MAX_SIDE_PX} pixels high and wide")
    if not all(camera.resize in RESIZE_MODES for camera in cameras):
        raise ValueError(f"a camera's resize is none of {', '.join(RESIZE_MODES)}")
    if not (1 <= horizon <= _MAX_STEPS and math.isfinite(step_s) and step_s > 0):
        raise ValueError(f"horizon {horizon}, step_s {step_s}")
    if not 0 <= prefix_steps <= horizon:
        raise ValueError(f"prefix_steps {prefix_steps}, horizon {horizon}")
    return PolicySpec(
        robot=said["robot"],
        cameras=cameras,
        state_names=tuple(said["state_names"]),
        action_names=tuple(said["action_names"]),
        horizon=horizon,
        step_s=step_s,
        chain=None if said["chain"] is None else _chain(said["chain"]),
        action_meaning=said["action_meaning"],
        prefix_steps=prefix_steps,
    )


def _chain(said: Mapping[str, Any]) -> KinematicChain:
    parts = {name: np.asarray(said[name], np.float64) for name in ("origins", "axes", "tip")}
    joints = len(parts["axes"])
    shapes = {"origins": (joints, 4, 4), "axes": (joints, 3), "tip": (4, 4)}
    if any(parts[name].shape != shape for name, shape in shapes.items()):
        raise ValueError("the kinematic chain has parts of a wrong shape")
    return KinematicChain(**parts)
