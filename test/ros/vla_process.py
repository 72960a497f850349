"""A `vla_node` process with the fake policy; the first argument `hang` makes it never answer."""

import sys
import threading

from ros_fakes import SPEC, FakePolicy, sway

from vla_ros.ros import shutdown
from vla_ros.ros.policy_source import PolicySource
from vla_ros.ros.vla_node import VlaNode


def hang(observation):
    """Wait for ever."""
    threading.Event().wait()
    return sway(observation)


act = hang if "hang" in sys.argv else sway
source = PolicySource(read_spec=lambda folder: SPEC, load=lambda parameters: FakePolicy(act))
shutdown.exit_process(shutdown.run(lambda: VlaNode(source), VlaNode.finish))
