"""`make interop`: the public openpi-client against our server, and a server with its codec alone
against our node. Prints what was shown; ends with status 1 when something was not.

    interop.py PYTHON    the Python of an environment with openpi-client, which wants NumPy 1
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from driving import ROOT, WITHIN_S, drive, report, write_robot_file
from openpi_observation import observation

from vla_ros.policy import codec
from vla_ros.policy.client import Link
from vla_ros.policy.server_process import ServerProcess, clean_environment

HERE = Path(__file__).parent
OTHER_SIDE = HERE / "openpi_side.py"
_SERVER = """
policy_server:
  horizon: 16
  step_s: 0.05
  height_px: 224
  width_px: 224
  images: {front: observation/exterior_image_1_left, wrist: observation/wrist_image_left}
  joints: observation/joint_position
  gripper: observation/gripper_position
"""


def main(python: str) -> int:
    shown = [*their_client_our_server(python), *our_node_their_server(python)]
    return report(shown)


def their_client_our_server(python: str) -> list[tuple[str, bool]]:
    """openpi's client drives `python -m vla_ros serve` with the shipped checkpoint."""
    options = ["--checkpoint", str(ROOT / "checkpoints/tabletop"), "--threads", "1"]
    server = ServerProcess(sys.executable, [*options, "--device", "cpu"])
    try:
        server.wait_until_ready(WITHIN_S)
        address = server.locate()
        command = [python, str(OTHER_SIDE), "client", address.uri, address.api_key or ""]
        said = json.loads(subprocess.check_output(command, env=clean_environment({}), text=True))
        link = Link(address)
        ours = codec.unpack(link.ask(codec.pack(observation())))["actions"]
        link.close()
    finally:
        server.close()
    theirs = np.array(said["actions"])
    return [
        (f"openpi-client with NumPy {said['numpy']} is greeted: {said['metadata']}", True),
        (f"it gets actions {theirs.shape}, the same as our client", np.array_equal(theirs, ours)),
        (f"server_timing {said['timing']}", said["timing"]["infer_ms"] > 0),
        (f"its wrong observation raises there: {said['refused']}", "state" in said["refused"]),
        ("and its next one is answered as before", said["again"]),
    ]


def our_node_their_server(python: str) -> list[tuple[str, bool]]:
    """A server with openpi's codec drives the simulated arm through `vla_node`."""
    command = [python, "-u", str(OTHER_SIDE), "server"]
    server = subprocess.Popen(command, env=clean_environment({}), stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline())
        with tempfile.TemporaryDirectory() as folder:
            robot_file = write_robot_file(Path(folder), _SERVER)
            start, end = drive(robot_file, {"policy": f"ws://127.0.0.1:{port}"})
        seen = json.loads(server.stdout.readline())
    finally:
        server.terminate()
        server.wait()
    way = (end - start).round(2)
    wanted = [0.3, 0.0, 0.0, 0.2, 0.0, 0.0, 0.2]
    return [
        (f"vla_node asks the server with {seen}", len(seen) == 5),
        (f"the arm went {way.tolist()} rad, as it planned", np.abs(way - wanted).max() < 0.03),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
