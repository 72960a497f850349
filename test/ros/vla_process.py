"""A `vla_node` process with the fake policy.

The argument `hang` makes it never answer; `three_cameras` makes it look through three.
"""

import sys
import threading
from dataclasses import replace

from ros_fakes import SPEC, FakePolicy, sway

from vla_ros.ros import shutdown
from vla_ros.ros.policy_source import PolicySource
from vla_ros.ros.vla_node import VlaNode, run


def hang(observation):
    """Wait for ever."""
    threading.Event().wait()
    return sway(observation)


policy = FakePolicy(hang if "hang" in sys.argv else sway)
if "three_cameras" in sys.argv:
    others = tuple(replace(SPEC.cameras[0], name=name) for name in ("wrist", "side"))
    policy.spec = replace(SPEC, cameras=SPEC.cameras + others)
source = PolicySource(read_spec=lambda folder: policy.spec, load=lambda parameters: policy)
shutdown.exit_process(run(lambda: VlaNode(source)))
