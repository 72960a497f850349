"""Records what somebody does with the arm, episode by episode; commands nothing.

Under the node's name:

- services `~/start`, `~/stop` and `~/discard` (std_srvs/Trigger): begin an episode, end it and
  write it, or drop it. The answer of `~/stop` comes when the episode is on the disk. Where the disk
  refuses it, the episode is kept, and `~/stop` tries again.

The instruction is what was said last on the robot file's topic, or the one given at the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_ros.errors import DatasetError, ImageError, InstructionError, StateError, VlaError
from vla_ros.learn.dataset_writer import DatasetWriter
from vla_ros.learn.demonstration import Demonstration
from vla_ros.learn.episode import EpisodeData
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.edge import Throttle, guarded
from vla_ros.ros.record_topics import Heard, heard_topics
from vla_ros.runtime.latest import check_instruction

_SENSOR_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
_PLAIN_QOS = QoSProfile(depth=10)


class RecordNode(Node):
    """Hears the robot file's topics and writes episodes."""

    def __init__(
        self,
        robot: RobotConfig,
        demonstration: Demonstration,
        open_writer: Callable[[], DatasetWriter],
        instruction: str,
        **node_arguments: Any,
    ) -> None:
        """Listen.

        Args:
            robot: The arm.
            demonstration: Collects the rows.
            open_writer: Opens the dataset, again after the disk refused something.
            instruction: Used until another one is said; empty waits for one.
            node_arguments: As of `rclpy.node.Node`.

        Raises:
            DatasetError: The dataset cannot be opened.
        """
        super().__init__("vla_recorder", **node_arguments)
        self._demonstration, self._open_writer = demonstration, open_writer
        self._writer = open_writer()
        self._unwritten: EpisodeData | None = None
        self._instruction = instruction
        self._throttle = Throttle()
        self._told_trouble = ""
        for heard in heard_topics(robot, demonstration):
            self._hear(heard, _SENSOR_QOS)
        said = Heard(topic=robot.instruction_topic, kind=String, take=self._take_text)
        self._hear(said, _PLAIN_QOS)
        for name, act in (("start", self._start), ("stop", self._stop), ("discard", self._discard)):
            self.create_service(Trigger, f"~/{name}", self._answering(act))

    def finish(self) -> None:
        """Say what is lost when the process ends, and close the dataset."""
        if self._demonstration.is_running:
            self.get_logger().warning("the running episode is dropped: it was not stopped")
        if self._unwritten is not None:
            self.get_logger().error("an episode is lost that the disk refused")
        self._writer.close()

    def _hear(self, heard: Heard, qos: QoSProfile) -> None:
        def on_message(msg: Any) -> None:
            try:
                heard.take(msg)
            except (ImageError, StateError, InstructionError) as error:
                text = self._throttle.admit(f"{heard.topic}: message dropped: {error}")
                if text:
                    self.get_logger().warning(text)
            self._tell_trouble()

        callback = guarded(self.get_logger(), on_message)
        self.create_subscription(heard.kind, heard.topic, callback, qos)

    def _take_text(self, msg: String) -> None:
        self._instruction = check_instruction(msg.data)

    def _tell_trouble(self) -> None:
        """Say at once that the running episode is lost, not at its end."""
        trouble = self._demonstration.trouble
        if trouble and trouble != self._told_trouble:
            self.get_logger().error(f"this episode cannot be used: {trouble}")
        self._told_trouble = trouble

    def _answering(self, act: Callable[[], str]) -> Callable[[Any, Any], Any]:
        def answer(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                response.message = act()
                response.success = True
                self.get_logger().info(response.message)
            except VlaError as error:
                response.message = str(error)
                self.get_logger().error(response.message)
            return response

        return answer

    def _start(self) -> str:
        if not self._instruction:
            raise DatasetError(
                "nothing was said yet: publish an instruction, or give --instruction TEXT"
            )
        if self._unwritten is not None:
            raise DatasetError("the last episode is not written yet; call stop again or discard")
        if self._demonstration.is_running:
            raise DatasetError("an episode is being recorded; call stop or discard first")
        self._demonstration.begin(self._instruction)
        return f"recording episode {self._writer.episodes}: {self._instruction!r}"

    def _stop(self) -> str:
        try:
            if self._writer.is_closed:
                self._writer = self._open_writer()
            number = self._writer.episodes
            if self._unwritten is None:
                self._unwritten = self._demonstration.finish(number)
            episode = self._unwritten
            self._writer.add(episode)
            self._writer.flush()
        except DatasetError as error:
            if not self._writer.is_closed:  # it is the episode that was refused
                self._unwritten = None
                raise
            raise DatasetError(
                f"the episode is not written: {error.__cause__ or error}; it is kept, make room "
                "and call stop again, or discard"
            ) from error
        self._unwritten = None
        return f"episode {number} is written: {len(episode)} rows, {episode.instruction!r}"

    def _discard(self) -> str:
        if self._unwritten is None and not self._demonstration.is_running:
            raise DatasetError("no episode is being recorded")
        self._unwritten = None
        self._demonstration.discard()
        return "dropped"
