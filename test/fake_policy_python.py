"""Stands in for the Python of a policy's process: the real `serve`, a policy without torch.

An instruction may be an order to the policy: `hang` never answers, `exit` ends the process.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
from serving import SPEC

from vla_ros.cli import main
from vla_ros.datatypes import ActionChunk
from vla_ros.policy.checkpoint import CONFIG, read_spec
from vla_ros.policy_protocol import PolicySpec

SMALL = replace(SPEC, cameras=SPEC.cameras[:1])


class FakePolicy:
    """Each joint goes a way of its own from where it is; the gripper closes."""

    checkpoint = SimpleNamespace(weights_sha256="5eed" * 16)

    @classmethod
    def load(cls, checkpoint_dir: object, **options: object) -> FakePolicy:
        if "broken" in str(checkpoint_dir):
            raise RuntimeError("it is broken")
        return cls(_spec_of(Path(str(checkpoint_dir))))

    def __init__(self, spec: PolicySpec) -> None:
        self.spec = spec
        ways_rad_s = [0.4, -0.3, 0.2] if spec is SMALL else [0.1, -0.08, 0.05]
        self._ways_rad_s = np.resize(ways_rad_s, len(spec.action_names) - 1)

    def infer_batch(self, observations, prefixes):
        return [self._plan(observation) for observation in observations]

    def _plan(self, observation) -> ActionChunk:
        if observation.instruction == "hang":
            threading.Event().wait()
        if observation.instruction == "exit":
            print("exit it is", flush=True)
            os._exit(3)
        steps = np.arange(1, self.spec.horizon + 1)[:, None] * self.spec.step_s
        joints = observation.state.position_rad + steps * self._ways_rad_s
        return ActionChunk(
            actions=np.hstack([joints, np.zeros_like(steps)]),
            start_s=0.0,
            step_s=self.spec.step_s,
            epoch=0,
            inference_s=0.001,
        )


def _spec_of(folder: Path) -> PolicySpec:
    """The small robot's, unless the folder is of another robot."""
    spec = read_spec(folder) if (folder / CONFIG).exists() else SMALL
    return SMALL if spec.robot == SMALL.robot else spec


module = ModuleType("vla_ros.policy.vla_policy")
module.VLAPolicy = FakePolicy
sys.modules[module.__name__] = module
sys.exit(main(sys.argv[sys.argv.index("serve") :]))
