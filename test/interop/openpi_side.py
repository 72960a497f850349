"""The other side of `interop.py`: runs with the public openpi-client package, not with vla_ros.

openpi_side.py client URI KEY    ask a server as openpi's client does; JSON on standard output
openpi_side.py server            serve as openpi does; the port on standard output
"""

import json
import sys

import numpy as np
import websockets.sync.server
from openpi_client import msgpack_numpy
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from openpi_observation import observation

HORIZON, STEP_S, SPEED_RAD_S = 16, 0.05, 0.3
WAY_RAD = np.array([0.3, 0.0, 0.0, 0.2, 0.0, 0.0, 0.2])


def client(uri, key):
    policy = WebsocketClientPolicy(uri, api_key=key)
    answer = policy.infer(observation())
    refused = ""
    try:
        policy.infer({**observation(), "observation/state": np.zeros(3)})
    except RuntimeError as error:
        refused = str(error).strip().splitlines()[-1]
    again = policy.infer(observation())
    said = {
        "numpy": np.__version__,
        "metadata": sorted(map(str, policy.get_server_metadata())),
        "actions": answer["actions"].tolist(),
        "again": bool(np.array_equal(answer["actions"], again["actions"])),
        "timing": {key: float(value) for key, value in answer["server_timing"].items()},
        "refused": refused,
    }
    print(json.dumps(said))


def server():
    start = []

    def handle(connection):
        connection.send(msgpack_numpy.packb({"model": "a reach"}))
        for content in connection:
            asked = msgpack_numpy.unpackb(content)
            joints = asked["observation/joint_position"]
            if not start:
                start.append(joints)
                seen = {name: _said(value) for name, value in asked.items()}
                print(json.dumps(seen), flush=True)
            left = start[0] + WAY_RAD - joints
            reach = SPEED_RAD_S * STEP_S * np.arange(1, HORIZON + 1)[:, None]
            actions = joints + np.sign(left) * np.minimum(reach, np.abs(left))
            opening = np.ones((HORIZON, 1))
            connection.send(msgpack_numpy.packb({"actions": np.hstack([actions, opening])}))

    with websockets.sync.server.serve(handle, "127.0.0.1", 0, compression=None) as listening:
        print(listening.socket.getsockname()[1], flush=True)
        listening.serve_forever()


def _said(value):
    return value if isinstance(value, str) else f"{value.dtype} {value.shape}"


if __name__ == "__main__":
    {"client": client, "server": server}[sys.argv[1]](*sys.argv[2:])
