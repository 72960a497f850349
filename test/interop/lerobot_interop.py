"""`make interop-lerobot`: policies saved by the public lerobot package behind our server.

Prints what was shown; ends with status 1 when something was not.

    lerobot_interop.py PYTHON    the Python of an environment with lerobot
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from driving import WITHIN_S, drive, report, write_robot_file
from lerobot_observation import ENTRIES, IMAGES, STATE, WORDS, pictures

from vla_ros.policy import codec
from vla_ros.policy.client import Link
from vla_ros.policy.server_process import ServerProcess, clean_environment
from vla_ros.robot_config import load_robot

OTHER_SIDE = Path(__file__).parent / "lerobot_side.py"
_JOINTS = [f"panda_joint{i}" for i in range(1, 8)]
_CLOSE = 1e-5
_PLANS = 50
_SECTION = f"""
lerobot:
  step_s: 0.05
  images: {json.dumps({name: key for key, name in IMAGES.items()})}
  state: [{", ".join(ENTRIES)}]
  actions: [{", ".join(ENTRIES)}]
  units: degrees
  gripper: {{closed: 0, open: 100}}
"""
# All that a robot file can have wrong, at once.
_WRONG = """
lerobot:
  step_s: 0.05
  images: {front: observation.images.top}
  units: radians
  gripper: {closed: 0, open: 1}
"""


def main(python: str) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("act", "bare", "diffusion", "smolvla"):
            _other(python, "save", kind, str(folder / kind))
        robot_file = write_robot_file(folder, _SECTION)
        wrong_file = write_robot_file(_made(folder / "wrong"), _WRONG)
        shown = [
            *the_same_chunk(python, folder / "act", robot_file),
            *the_same_on_average(python, folder / "smolvla", robot_file),
            *a_policy_of_two_observations(python, folder / "diffusion", robot_file),
            *no_statistics(python, folder / "bare", robot_file),
            *everything_wrong(python, folder / "act", wrong_file),
            *our_node("ACT", python, folder / "act", robot_file),
            *our_node("SmolVLA", python, folder / "smolvla", robot_file),
        ]
    return report(shown)


def the_same_chunk(python: str, policy: Path, robot_file: Path) -> list[tuple[str, bool]]:
    """ACT by LeRobot alone, and through our server and client in the robot file's units."""
    (theirs,) = _planned_by_lerobot(python, policy, times=1)
    with _served(python, policy, robot_file) as link:
        ours = _ask(link)
    apart = np.abs(ours - theirs).max() if ours.shape == theirs.shape else np.inf
    return [
        (f"ACT plans {ours.shape}, by LeRobot and by our client", ours.shape == theirs.shape),
        (f"our client gets the same, {apart:.1e} rad apart", apart < _CLOSE),
        (f"its steps differ by {np.ptp(ours, axis=0).max():.3f}", np.ptp(ours, axis=0).max() > 0),
    ]


def the_same_on_average(python: str, policy: Path, robot_file: Path) -> list[tuple[str, bool]]:
    """SmolVLA, whose noise is new each time: mean and spread of many plans, by both."""
    theirs = _planned_by_lerobot(python, policy, times=_PLANS)
    with _served(python, policy, robot_file) as link:
        ours = np.stack([_ask(link) for _ in range(_PLANS)])
    shown = [(f"SmolVLA plans {ours.shape[1:]}", ours.shape == theirs.shape)]
    ours, theirs = ours.reshape(-1, len(ENTRIES)), theirs.reshape(-1, len(ENTRIES))
    error = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / len(ours))
    apart = np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) / error
    spread = ours.std(axis=0) / theirs.std(axis=0)
    return [
        *shown,
        (f"the means are at most {apart.max():.1f} standard errors apart", apart.max() < 4.5),
        (
            f"the spreads are {spread.min():.2f} to {spread.max():.2f} of LeRobot's",
            spread.min() > 0.85 and spread.max() < 1.15,
        ),
    ]


def a_policy_of_two_observations(
    python: str, policy: Path, robot_file: Path
) -> list[tuple[str, bool]]:
    """Diffusion Policy, whose noise is new each time: only shape and range can be told."""
    robot = load_robot(robot_file)
    with _served(python, policy, robot_file) as link:
        actions = _ask(link)
    joints = actions[:, :-1]
    is_near = (joints > robot.limits.lower_rad - 1).all() & (
        joints < robot.limits.upper_rad + 1
    ).all()
    is_sound = np.isfinite(actions).all() and actions.shape == (8, 8) and bool(is_near)
    return [(f"Diffusion Policy of two observations plans {actions.shape}", is_sound)]


def no_statistics(python: str, policy: Path, robot_file: Path) -> list[tuple[str, bool]]:
    status, said = _serve_in_vain(python, policy, robot_file)
    keys = ("observation.state", "action", *IMAGES)
    is_told = all(f"{key}: has no normalisation statistics mean, std" in said for key in keys)
    return [("a policy without statistics is refused:", status != 0), (_tail(said), is_told)]


def everything_wrong(python: str, policy: Path, robot_file: Path) -> list[tuple[str, bool]]:
    status, said = _serve_in_vain(python, policy, robot_file)
    words = ("observation.images.hand", "is its unit radians", "observation.state: ", "action: ")
    is_told = all(word in said for word in words)
    return [("a wrong robot file is refused, all at once:", status != 0), (_tail(said), is_told)]


def our_node(kind: str, python: str, policy: Path, robot_file: Path) -> list[tuple[str, bool]]:
    """`vla_node` starts the server with LeRobot's Python and follows it on the simulated arm."""
    parameters = {"checkpoint": str(policy), "backend": "lerobot", "policy_python": python}
    start, end = drive(robot_file, parameters)
    way = (end - start).round(2)
    said = f"vla_node follows {kind}; the arm went {way.tolist()} rad"
    return [(said, np.abs(way).max() > 0.02)]


def _planned_by_lerobot(python: str, policy: Path, times: int) -> np.ndarray:
    """Plans (times, T, A) in the robot file's order and units."""
    said = json.loads(_other(python, "plan", str(policy), str(times)).splitlines()[-1])
    actions = np.array(said["chunks"])
    joints = [np.deg2rad(actions[..., ENTRIES.index(name)]) for name in _JOINTS]
    gripper = np.clip(actions[..., ENTRIES.index("gripper")] / 100, 0, 1)
    return np.stack([*joints, gripper], axis=-1)


def _ask(link: Link) -> np.ndarray:
    state = [np.deg2rad(STATE[ENTRIES.index(name)], dtype=np.float64) for name in _JOINTS]
    asked = {f"observation/image/{name}": pixels for name, pixels in pictures().items()}
    asked["observation/state"] = np.array([*state, STATE[ENTRIES.index("gripper")] / 100])
    return codec.unpack(link.ask(codec.pack({**asked, "prompt": WORDS})))["actions"]


@contextmanager
def _served(python: str, policy: Path, robot_file: Path):
    server = ServerProcess(python, _options(policy, robot_file), lambda line: None)
    try:
        server.wait_until_ready(WITHIN_S)
        link = Link(server.locate())
        yield link
        link.close()
    finally:
        server.close()


def _serve_in_vain(python: str, policy: Path, robot_file: Path) -> tuple[int, str]:
    lines: list[str] = []
    server = ServerProcess(python, _options(policy, robot_file), lines.append)
    try:
        server.wait_until_ready(WITHIN_S)
    except Exception as error:
        return 1, "\n".join([*lines, str(error)])
    finally:
        server.close()
    return 0, "it was served"


def _options(policy: Path, robot_file: Path) -> list[str]:
    options = ["--backend", "lerobot", "--robot", str(robot_file), "--checkpoint", str(policy)]
    return [*options, "--device", "cpu", "--threads", "1"]


def _tail(said: str) -> str:
    problems = [line for line in said.splitlines() if line.startswith("  - ")]
    return "\n        ".join([f"{len(problems)} problems", *problems])


def _other(python: str, *arguments: str) -> str:
    command = [python, str(OTHER_SIDE), *arguments]
    return subprocess.check_output(
        command, env=clean_environment({"PATH": "/usr/bin:/bin"}), text=True
    )


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
