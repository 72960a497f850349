"""Stands in for the Python of a policy's process: the real `serve`, a policy without torch.

An instruction may be an order to the policy: `hang` never answers, `exit` ends the process.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
from serving import SPEC

from vla_ros.cli import main
from vla_ros.datatypes import ActionChunk


class FakePolicy:
    """Each joint goes a way of its own from where it is; the gripper closes."""

    spec = replace(SPEC, cameras=SPEC.cameras[:1])
    checkpoint = SimpleNamespace(weights_sha256="5eed" * 16)

    @classmethod
    def load(cls, checkpoint_dir: object, **options: object) -> FakePolicy:
        if "broken" in str(checkpoint_dir):
            raise RuntimeError("it is broken")
        return cls()

    def infer_batch(self, observations):
        return [self._plan(observation) for observation in observations]

    def _plan(self, observation) -> ActionChunk:
        if observation.instruction == "hang":
            threading.Event().wait()
        if observation.instruction == "exit":
            print("exit it is", flush=True)
            os._exit(3)
        steps = np.arange(1, self.spec.horizon + 1)[:, None] * self.spec.step_s
        joints = observation.state.position_rad + steps * np.array([0.4, -0.3, 0.2])
        return ActionChunk(
            actions=np.hstack([joints, np.zeros_like(steps)]),
            start_s=0.0,
            step_s=self.spec.step_s,
            epoch=0,
            inference_s=0.001,
        )


module = ModuleType("vla_ros.policy.vla_policy")
module.VLAPolicy = FakePolicy
sys.modules[module.__name__] = module
sys.exit(main(sys.argv[sys.argv.index("serve") :]))
