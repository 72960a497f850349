"""Where the node gets its policy, by its parameter `policy`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vla_ros.policy.checkpoint import read_spec, read_weights
from vla_ros.policy_protocol import Policy, PolicySpec
from vla_ros.ros.params import VlaNodeParameters
from vla_ros.ros.policy_loading import load_in_process
from vla_ros.runtime import ThreadWorker, Worker


def read_checkpoint_spec(checkpoint_dir: Path) -> PolicySpec:
    """Read what a checkpoint's policy needs and gives; loads no torch.

    The weights' digest is checked too, so that a broken file is told while configuring.

    Raises:
        CheckpointError: A file is missing, corrupt or of another format.
    """
    spec = read_spec(checkpoint_dir)
    read_weights(checkpoint_dir)
    return spec


@dataclass(frozen=True, kw_only=True)
class PolicySource:
    """Functions that get the policy, so that tests can bring their own; the defaults: in process.

    Attributes:
        read_spec: Quick; called while configuring.
        load: Slow; called in a thread.
        make_worker: Puts the loaded policy to work.
        progress: Why it is not loaded yet.
        close: Called once when the policy is not needed any more, also while it is being loaded.
        weights_sha256: Quick; digest of the weights that plan, empty while it is not known.
    """

    read_spec: Callable[[Path], PolicySpec] = read_checkpoint_spec
    load: Callable[[VlaNodeParameters], Policy] = load_in_process
    make_worker: Callable[[Policy], Worker] = ThreadWorker
    progress: Callable[[], str] = lambda: "the policy is being loaded"
    close: Callable[[], None] = lambda: None
    weights_sha256: Callable[[], str] = lambda: ""
