"""Judges the cameras: there, heard, in time, in the right size, and each in its own place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_ros.policy_protocol import CameraSpec
from vla_ros.robot_config import CameraConfig, RobotConfig
from vla_ros.ros.check.finding import Finding, error, ok, warning
from vla_ros.ros.check.listening import Heard, HeardCamera, Listener, image_type
from vla_ros.ros.dds_profile import PROFILE_VARIABLES
from vla_ros.runtime.latest import MAX_AHEAD_S
from vla_ros.runtime.pictures import BLACK_BELOW

_CURE = (
    "default Fast DDS has too little shared memory for pictures: export "
    f"{' and '.join(PROFILE_VARIABLES)}=<share of vla_ros>/config/fastdds_shm.xml for the camera "
    "driver and for vla_node (the first is read from Kilted on, the second up to Jazzy)"
)
_TOLERATED_LOSS, _TOLERATED_ASPECT = 0.1, 0.02
# Of a camera that offers best effort only, lost pictures are told by gaps; its rate may vary too.
_TOLERATED_GAPS, _ENOUGH = 0.3, 5


def check_cameras(
    listener: Listener, robot: RobotConfig, heard: Heard, specs: Sequence[CameraSpec]
) -> list[Finding]:
    """One finding or more for each camera of the robot file."""
    by_name = {spec.name: spec for spec in specs}
    findings = _profile()
    for name in robot.cameras:
        item = f"camera {name}"
        found = _absent(listener, item, robot.cameras[name], heard.cameras[name])
        if not found:
            found = _present(robot, name, heard, by_name.get(name))
        findings += found or [ok(item, _summary(heard.cameras[name], heard.seconds))]
    return findings


def _profile() -> list[Finding]:
    paths = {name: os.environ.get(name, "") for name in PROFILE_VARIABLES}
    return [
        error("shared memory", f"{name} is {path}, which does not exist")
        for name, path in paths.items()
        if path and not Path(path).is_file()
    ]


def _absent(
    listener: Listener, item: str, camera: CameraConfig, heard: HeardCamera
) -> list[Finding]:
    """Why no picture can be judged."""
    types, wanted = listener.types_of(camera.topic), image_type(camera)
    if not types:
        others = [name for name, kinds in listener.get_topic_names_and_types() if wanted in kinds]
        others = [name for name in others if listener.count_publishers(name)]
        return [
            error(
                item,
                f"nobody publishes on {camera.topic}; pictures are on: "
                f"{', '.join(others) or 'no topic'}. Start the driver, or correct "
                "cameras.*.topic in the robot file",
            )
        ]
    if types != [wanted]:
        text = f"{camera.topic} has type {', '.join(types)}; valid: {wanted}, by the transport "
        return [error(item, f"{text}{camera.transport} of the robot file")]
    if heard.arrived_s:
        return []
    sent = len(heard.reliable_stamps_s)
    if sent:
        text = f"of {sent} pictures on {camera.topic} none arrived best-effort; {_CURE}"
    else:
        text = f"{camera.topic} is offered, but no picture arrived: no driver sends, or {_CURE}"
    return [error(item, text)]


def _present(robot: RobotConfig, name: str, heard: Heard, spec: CameraSpec | None) -> list[Finding]:
    item, camera, own = f"camera {name}", robot.cameras[name], heard.cameras[name]
    if own.last_frame is None:
        return [error(item, own.problem)]
    return [
        *_timing(item, camera, own, heard.seconds),
        *_place(item, name, robot, heard),
        *_size(item, camera, own, spec),
        *_content(item, name, heard),
    ]


def _timing(item: str, camera: CameraConfig, heard: HeardCamera, seconds: float) -> list[Finding]:
    findings = []
    sent = _sent_count(heard)
    lost = 1.0 - len(set(heard.stamps_s)) / max(1, sent)
    if lost > (_TOLERATED_LOSS if heard.reliable_stamps_s else _TOLERATED_GAPS):
        text = f"{lost:.0%} of {sent} pictures got lost on the way to a best-effort "
        findings.append(error(item, f"{text}subscription, such as vla_node's; {_CURE}"))
    rate_hz = len(heard.arrived_s) / seconds
    if rate_hz < 2.0 / camera.max_age_s and seconds > camera.max_age_s:
        findings.append(
            error(
                item,
                f"{rate_hz:.1f} pictures a second; with max_age_s {camera.max_age_s:g} at least "
                f"{2.0 / camera.max_age_s:.0f} are needed, or the arm holds between them",
            )
        )
    return findings + judge_ages(item, heard.ages_s, camera.max_age_s)


def _sent_count(heard: HeardCamera) -> int:
    """Pictures sent: those a reliable subscription got, or what the gaps between stamps tell."""
    stamps_s = sorted(set(heard.stamps_s))
    if heard.reliable_stamps_s or len(stamps_s) < _ENOUGH:
        return len(heard.reliable_stamps_s | set(stamps_s))
    gaps_s = np.diff(stamps_s)
    return round(float(gaps_s.sum() / np.quantile(gaps_s, 0.2))) + 1


def judge_ages(item: str, ages_s: Sequence[float], max_age_s: float) -> list[Finding]:
    """Ages of messages on arrival, against the bound of the robot file and the future."""
    if not ages_s:
        return []
    age_s = float(np.median(ages_s))
    clocks = "set the clocks of both machines by NTP or chrony, or use_sim_time alike"
    if age_s < -MAX_AHEAD_S:
        return [error(item, f"stamps are {-age_s:.2f} s in the future; {clocks}")]
    if age_s > max_age_s:
        text = f"messages are {age_s:.2f} s old on arrival, max_age_s is {max_age_s:g}"
        return [error(item, f"{text}; a slow driver or network, or clocks that differ: {clocks}")]
    if age_s > max_age_s / 2:
        return [warning(item, f"messages are {age_s:.2f} s old, near max_age_s {max_age_s:g}")]
    return []


def _place(item: str, name: str, robot: RobotConfig, heard: Heard) -> list[Finding]:
    """Swapped cameras, by the frame of their pictures."""
    frame_id, wanted = heard.cameras[name].last.header.frame_id, robot.cameras[name].frame_id
    if wanted is None or frame_id == wanted:
        return []
    for other, camera in robot.cameras.items():
        if camera.frame_id == frame_id:
            text = f"its pictures are of frame {frame_id}, that of camera {other}"
            cure = f"the cameras are swapped: exchange cameras.{name}.topic and cameras.{other}"
            return [error(item, f"{text}; {cure}.topic in the robot file")]
    text = f"its pictures are of frame {frame_id!r}, the robot file says {wanted!r}"
    return [error(item, f"{text}; another camera, or correct cameras.{name}.frame_id")]


def _size(
    item: str, camera: CameraConfig, heard: HeardCamera, spec: CameraSpec | None
) -> list[Finding]:
    height, width = heard.last_frame.pixels.shape[:2]
    wanted = camera.width_px or width, camera.height_px or height
    findings = []
    if wanted != (width, height):
        text = f"its pictures are {width} x {height}, the robot file says {wanted[0]} x {wanted[1]}"
        findings.append(error(item, f"{text}; set the driver's resolution, or the robot file"))
    if spec is None:
        return findings
    shown = width / height / (spec.width_px / spec.height_px)
    if abs(shown - 1) > _TOLERATED_ASPECT:
        share = 1 - min(shown, 1 / shown)
        what = "pads with black" if spec.resize == "letterbox" else "cuts off"
        text = f"pictures of {width} x {height} do not have the shape of the checkpoint's "
        text += f"{spec.width_px} x {spec.height_px}: its resize mode {spec.resize} {what} "
        text += f"{share:.0%}; the policy must have been trained with that"
        findings.append(warning(item, text))
    if width < spec.width_px or height < spec.height_px:
        text = f"pictures of {width} x {height} are smaller than the checkpoint's "
        findings.append(
            warning(item, f"{text}{spec.width_px} x {spec.height_px}; send larger ones")
        )
    return findings


def _content(item: str, name: str, heard: Heard) -> list[Finding]:
    own = heard.cameras[name]
    pixels = own.last_frame.pixels
    if pixels.max() < BLACK_BELOW:
        return [error(item, "its pictures are black; lens cap, exposure or a dead camera")]
    if len(own.stamps_s) > 2 and len(set(own.stamps_s)) == 1:
        return [
            error(item, "its pictures all have the same stamp: it is frozen, restart the driver")
        ]
    for other, camera in heard.cameras.items():
        frame = camera.last_frame
        if other < name and frame is not None and np.array_equal(frame.pixels, pixels):
            return [error(item, f"shows the same picture as camera {other}: one topic for both?")]
    # A still simulation gives the same picture to the bit; a real camera's noise never does.
    is_same = np.array_equal(own.first_frame.pixels, pixels)
    if is_same and len(own.stamps_s) > 2 and not heard.clock_s:
        return [
            warning(item, "all pictures are the same to the bit: frozen, or a still simulation")
        ]
    return []


def _summary(heard: HeardCamera, seconds: float) -> str:
    height, width = heard.last_frame.pixels.shape[:2]
    age_ms = f"{np.median(heard.ages_s) * 1e3:.0f} ms old" if heard.ages_s else "age unknown"
    rate_hz = len(heard.arrived_s) / seconds
    return f"{rate_hz:.1f} Hz, {age_ms}, {width} x {height} {_coding(heard.last)}, none lost"


def _coding(msg: Any) -> str:
    return str(msg.encoding if hasattr(msg, "encoding") else msg.format)
