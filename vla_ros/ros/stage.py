"""The simulated robot and the policy's node as two processes, and a client that directs them.

The demo and the evaluation through ROS play episodes on it: only topics, services and parameters.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from vla_ros.errors import NodeError, SceneError
from vla_ros.robot_config import load_robot
from vla_ros.ros.interruption import Interruption
from vla_ros.ros.node_process import NodeProcess, prepare_environment
from vla_ros.ros.stage_client import SIM_NODE, VLA_NODE, StageClient
from vla_ros.ros.take import EpisodeReport, OnProgress, Take
from vla_ros.ros.waiter import READY_WITHIN_S, Waiter
from vla_ros.sim.tasks import write_instruction

_SILENT_AFTER_S = 20.0
_LEADS_TO = {
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
}


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """What to put on the stage.

    Attributes:
        checkpoint: Folder of the trained policy.
        robot: Robot file.
        device: Where the policy computes: auto, cpu or cuda.
        threads: CPU threads of the policy; one leaves the other core to the simulation.
        real_time_factor: Simulated seconds in a real one; below 1 keeps a policy on a busy machine
            as quick, in simulated time, as on a free one.
        with_pictures: Whether takes hold what the cameras saw.
        log_dir: Folder for the nodes' logs; `None` keeps them only while the stage stands.
    """

    checkpoint: Path
    robot: Path
    device: str = "auto"
    threads: int = 1
    real_time_factor: float = 1.0
    with_pictures: bool = False
    log_dir: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Cue:
    """An episode to play; `template` replaces the drawn words when it is not `None`."""

    task: str
    seed: int
    combinations: str = "seen"
    wordings: str = "seen"
    template: str | None = None


@contextmanager
def open_stage(options: StageOptions) -> Iterator[Stage]:
    """Start both nodes, wait until they are ready, and end both whatever happens.

    Raises:
        NodeError: A node ended, is silent, or refuses its checkpoint or robot file.
        VlaError: The robot file cannot be used.
        KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP came; both nodes have ended.
    """
    robot = load_robot(options.robot)
    prepare_environment()
    with ExitStack() as stack:
        interruption = stack.enter_context(Interruption())
        log_dir = options.log_dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log_dir.mkdir(parents=True, exist_ok=True)
        processes = []
        # The policy's node is started last and ended first: it brings the arm to rest.
        for name, module, parameters in _nodes(options):
            process = NodeProcess(name, module, parameters, log_dir / f"{name}.log")
            stack.callback(process.end)
            processes.append(process)
        context = Context()
        rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(context.try_shutdown)
        client = StageClient(robot, context, with_pictures=options.with_pictures)
        stack.callback(client.destroy_node)
        stage = Stage(client, context, processes, interruption)
        stack.callback(stage.close)
        stage.get_ready()
        yield stage


class Stage:
    """Two running nodes and their client; made by `open_stage`."""

    def __init__(
        self,
        client: StageClient,
        context: Context,
        processes: list[NodeProcess],
        interruption: Interruption,
    ) -> None:
        self.processes = tuple(processes)
        self._client = client
        self._waiter = Waiter(client, context, self.processes, interruption)
        self._is_active = False

    def close(self) -> None:
        """Stop listening; the processes are ended by `open_stage`."""
        self._waiter.close()

    def get_ready(self) -> None:
        """Bring the policy's node to the state in which only an instruction is missing."""
        client, within_s = self._client, READY_WITHIN_S
        self._waiter.until(lambda: client.report and client.state, "sim_node speaks", within_s)
        self._change(Transition.TRANSITION_CONFIGURE)
        self._activate()
        self._waiter.until(
            lambda: client.is_heard and self._awaits_words(0.0), "vla_node waits", within_s
        )

    def play(self, cue: Cue, limit_s: float, on_progress: OnProgress = lambda take: None) -> Take:
        """Play one episode from its first scene to its end.

        Args:
            cue: The episode.
            limit_s: Simulated time after which it has failed.
            on_progress: Called after every message.

        Raises:
            SceneError: There is no such episode, or the template cannot be filled.
            NodeError: A node ended, is silent, or refuses.
        """
        began = self._set_scene(cue)
        template = cue.template
        text = began.instruction if template is None else write_instruction(began.request, template)
        take = Take(instruction=text, began=began, limit_s=limit_s, cameras=self._client.cameras)
        self._client.take = take
        started_s = time.monotonic()
        self._client.say(text)

        def is_over() -> bool:
            self._check_silence(started_s)
            take.wall_s = time.monotonic() - started_s
            on_progress(take)
            return take.is_over

        try:
            self._waiter.until(is_over, "the episode ends", float("inf"))
        finally:
            self._client.take = None
        return take

    def _set_scene(self, cue: Cue) -> EpisodeReport:
        """Start the episode with a loop that knows nothing of the one before.

        The node is inactive while the scene changes: no plan outlives it, and the arm is driven
        from where it is measured afterwards. It gets its instruction when all it sees is new.
        """
        self._set_parameters(cue)
        self._client.say("")
        self._deactivate()
        answer = self._waiter.call(self._client.reset_scene, Trigger.Request())
        if not answer.success:
            raise SceneError(f"{cue.task}, seed {cue.seed}: {answer.message}")
        began = EpisodeReport.from_json(answer.message)
        self._activate()
        self._waiter.until(lambda: self._awaits_words(began.stamp_s), "vla_node sees the new scene")
        return began

    def _set_parameters(self, cue: Cue) -> None:
        values = {
            "seed": cue.seed,
            "task": cue.task,
            "combinations": cue.combinations,
            "wordings": cue.wordings,
        }
        parameters = [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        answer = self._waiter.call(
            self._client.set_scene, SetParameters.Request(parameters=parameters)
        )
        reasons = [result.reason for result in answer.results if not result.successful]
        if reasons:
            raise SceneError(f"sim_node refuses {cue}: {'; '.join(reasons)}")

    def _awaits_words(self, since_s: float) -> bool:
        status = self._client.status
        if status is None or not status.stamp_s > since_s:
            return False
        if status.is_fault:
            raise NodeError(f"{VLA_NODE} cannot work: {status.status}: {status.reason}")
        return status.awaits_words_since(since_s)

    def _activate(self) -> None:
        self._change(Transition.TRANSITION_ACTIVATE)
        self._is_active = True

    def _deactivate(self) -> None:
        # It is inactive already after an episode that could not be set.
        if self._is_active:
            self._change(Transition.TRANSITION_DEACTIVATE)
            self._is_active = False

    def _change(self, transition: int) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        self._client.status = None
        self._waiter.wait_for(self._client.change_state)
        for _ in self._waiter.attempts(f"{VLA_NODE} changes its state"):
            answer = self._waiter.ask(self._client.change_state, request)
            if answer is not None and not answer.success:
                words = self.processes[-1].last_words()
                raise NodeError(f"{VLA_NODE} refuses transition {transition}; {words}")
            # A lifecycle node never answers a request for a state that it is in already.
            if answer is not None or self._state() == _LEADS_TO[transition]:
                return

    def _state(self) -> int:
        return int(self._waiter.call(self._client.get_state, GetState.Request()).current_state.id)

    def _check_silence(self, since_s: float) -> None:
        for process in self.processes:
            silent_s = time.monotonic() - max(since_s, self._client.heard_s.get(process.name, 0.0))
            if silent_s > _SILENT_AFTER_S:
                words = process.last_words()
                raise NodeError(f"{process.name} has been silent for {silent_s:.0f} s; {words}")


def _nodes(options: StageOptions) -> list[tuple[str, str, dict[str, object]]]:
    """Name, module and parameters of both nodes.

    Both live by the simulation's time: a machine too slow for the simulation then slows down the
    episode instead of changing it.
    """
    robot = str(options.robot.resolve())
    sim = {
        "robot_file": robot,
        "publish_clock": True,
        "real_time_factor": options.real_time_factor,
    }
    vla = {
        "robot_file": robot,
        "checkpoint": str(options.checkpoint.resolve()),
        "device": options.device,
        "threads": options.threads,
        "use_sim_time": True,
    }
    return [(SIM_NODE, "vla_ros.ros.sim_node", sim), (VLA_NODE, "vla_ros.ros.vla_node", vla)]
