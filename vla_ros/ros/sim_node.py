"""The simulated tabletop as a robot driver: cameras, joint states and two controllers.

The controllers are of the kind that the robot file sends commands to: trajectory, forward, or
MoveIt Servo's twists and poses. A policy node cannot tell it from a real arm. Beside what a driver
offers, under the node's name:

- service `~/reset` (std_srvs/Trigger): starts the episode of the parameters `seed`, `task`,
  `combinations` and `wordings`, which are set before by the parameter service; the answer's message
  is the JSON of `~/episode`, or why it was refused.
- topic `~/episode` (std_msgs/String, latched): JSON with the episode (task, instruction, color,
  direction, place, seed), how it stands (time_s, success, success_s, reward, first_touched),
  what the controllers did, and when this was said (stamp_s); at 2 Hz, and at once on a reset and on
  a success.
- topic `~/success` (std_msgs/Bool, latched): on every change.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock as ClockMsg
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from vla_ros.datatypes import Frame
from vla_ros.errors import SceneError
from vla_ros.robot_config import CameraConfig, load_robot
from vla_ros.ros.camera_decoder import CameraDecoder
from vla_ros.ros.compressed_images import compressed_from_frame
from vla_ros.ros.convert import stamp_from_seconds
from vla_ros.ros.edge import Throttle, guarded
from vla_ros.ros.image_messages import image_from_frame
from vla_ros.ros.shutdown import exit_process, run
from vla_ros.ros.sim_drivers import SimDrivers
from vla_ros.ros.sim_messages import camera_info_msg, joint_state_msg
from vla_ros.ros.sim_parameters import declare_sim_parameters, read_episode
from vla_ros.share import share_path
from vla_ros.sim.pacer import Pacer
from vla_ros.sim.scene import TIMESTEP_S
from vla_ros.sim.simulated_robot import SimulatedRobot, check_robot_fits
from vla_ros.sim.world import TabletopSim

# Two physics steps a tick: each turn of the executor costs as much as a step.
_TICK_STEPS = 2
_SHORTEST_TICK_S = 0.002
# After a delay, physics runs this many times faster until it is on time again.
_CATCH_UP = 4
_REPORT_PERIOD_S = 0.5
_TOLERATED_LOSS_S = 0.05
_FRAME_IDS = {"front": "front_camera_optical_frame", "wrist": "wrist_camera_optical_frame"}
# As drivers publish: reliable reaches best-effort and reliable subscribers alike.
_SENSOR_QOS = QoSProfile(depth=5)
_LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class SimNode(Node):
    """Steps the simulated robot on the steady clock and speaks for it on topics."""

    def __init__(self, **node_arguments: object) -> None:
        """Start the episode of the parameters.

        Args:
            **node_arguments: As of `rclpy.node.Node`.

        Raises:
            VlaError: The parameters, the robot file or the episode cannot be used.
        """
        super().__init__("sim_node", **node_arguments)
        self._options = declare_sim_parameters(self)
        path = Path(self._options.robot_file or share_path("config/panda.yaml"))
        self._file = load_robot(path)
        check_robot_fits(self._file)
        world = TabletopSim(self._options.render_px)
        self._system = Clock(clock_type=ClockType.SYSTEM_TIME)
        # Simulated time since the start; a reset does not set it back, unlike the episode's time.
        self._simulated_s = 0.0
        self._stamp_s = self._now_s()
        self.robot = SimulatedRobot(self._file, world, self._options.cmd_timeout)
        self.robot.reset(now_s=self._stamp_s, **vars(read_episode(self)))
        self._was_success = False
        self._slowness = Throttle()
        self._create_publishers()
        self._create_inputs()
        for name in self._cameras:
            world.render(name)  # the first picture of a camera takes long
        self._start()

    def close(self) -> None:
        """Free the renderers."""
        self.robot.world.close()

    def _create_publishers(self) -> None:
        publish = self.create_publisher
        self._cameras = {
            name: (
                publish(CameraDecoder(camera).kind, camera.topic, _SENSOR_QOS),
                publish(CameraInfo, _info_topic(camera), _SENSOR_QOS),
            )
            for name, camera in self._file.cameras.items()
        }
        self._joint_states = publish(JointState, self._file.state.topic, _SENSOR_QOS)
        self._clocks = publish(ClockMsg, "/clock", 1) if self._options.publish_clock else None
        self._success = publish(Bool, "~/success", _LATCHED_QOS)
        self._episode = publish(String, "~/episode", _LATCHED_QOS)

    def _create_inputs(self) -> None:
        self._drivers = SimDrivers(self, self._file, self.robot, self._now_s)
        self.create_service(Trigger, "~/reset", self._on_reset)

    def _start(self) -> None:
        factor = self._options.real_time_factor
        self._joint_state_steps = max(1, round(1 / self._options.joint_state_rate_hz / TIMESTEP_S))
        rate_hz = self._options.camera_rate_hz
        self._camera_steps = max(1, round(1 / rate_hz / TIMESTEP_S)) if rate_hz > 0 else 0
        self._step_count = 0
        tick_s = max(_TICK_STEPS * TIMESTEP_S / factor, _SHORTEST_TICK_S)
        self._pacer = Pacer(
            step_s=TIMESTEP_S,
            real_time_factor=factor,
            max_steps=math.ceil(_CATCH_UP * tick_s * factor / TIMESTEP_S),
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(tick_s, guarded(self.get_logger(), self._tick), clock=steady)
        watch_pace = guarded(self.get_logger(), self._watch_pace)
        self.create_timer(_REPORT_PERIOD_S, watch_pace, clock=steady)
        self._announce()

    def _now_s(self) -> float:
        """Time of the stamps: simulated where /clock is published, else the system's."""
        if self._options.publish_clock:
            return self._simulated_s
        return float(self._system.now().nanoseconds * 1e-9)

    def _tick(self) -> None:
        """Do the steps that are due, then say what there is to say, the newest only."""
        steady_s = time.monotonic()
        to_system_s = self._system.now().nanoseconds * 1e-9 - steady_s
        before = self._step_count
        for due_s in self._pacer.due(steady_s):
            self._simulated_s += TIMESTEP_S
            self._stamp_s = (
                self._simulated_s if self._options.publish_clock else due_s + to_system_s
            )
            self.robot.step(self._stamp_s)
            self._step_count += 1
        if self._step_count > before:
            self._publish_due(before)

    def _publish_due(self, before: int) -> None:
        if self._clocks is not None:
            self._clocks.publish(ClockMsg(clock=stamp_from_seconds(self._stamp_s)))
        if _crosses(before, self._step_count, self._joint_state_steps):
            position, velocity = self.robot.joints()
            names = self.robot.joint_names
            self._joint_states.publish(joint_state_msg(names, position, velocity, self._stamp_s))
        # Last, because rendering takes a while; all pictures show the same moment.
        if _crosses(before, self._step_count, self._camera_steps):
            for name in self._cameras:
                self._publish_camera(name)
        if self.robot.world.success != self._was_success:
            self._announce()

    def _publish_camera(self, name: str) -> None:
        image, info = self._cameras[name]
        world, frame_id = self.robot.world, _FRAME_IDS[name]
        frame = Frame(pixels=world.render(name), stamp_s=self._stamp_s)
        is_compressed = self._file.cameras[name].transport == "compressed"
        encode = compressed_from_frame if is_compressed else image_from_frame
        image.publish(encode(frame, frame_id))
        fovy_deg = float(world.model.camera(name).fovy[0])
        info.publish(camera_info_msg(world.render_px, fovy_deg, frame_id, self._stamp_s))

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        episode = read_episode(self)
        try:
            self.robot.reset(now_s=self._now_s(), **vars(episode))
        except SceneError as error:
            response.success = False
            response.message = f"{error} (parameters seed, task, combinations, wordings)"
            return response
        response.success = True
        response.message = self._announce()
        self.get_logger().info(f"reset: {self.robot.world.episode}")
        return response

    def _announce(self) -> str:
        """Publish success, and the episode with it; return the episode's JSON."""
        self._was_success = self.robot.world.success
        self._success.publish(Bool(data=self._was_success))
        return self._report()

    def _report(self) -> str:
        """Publish the episode; return its JSON."""
        text = json.dumps({**self.robot.report(), "stamp_s": round(self._now_s(), 6)})
        self._episode.publish(String(data=text))
        return text

    def _watch_pace(self) -> None:
        """Publish the episode regularly, and say when physics runs slower than asked for."""
        self._report()
        skipped_s, self._pacer.skipped_steps = self._pacer.skipped_steps * TIMESTEP_S, 0
        if skipped_s < _TOLERATED_LOSS_S:
            return
        text = self._slowness.admit(
            f"the machine is too slow: {skipped_s:.2f} s of physics were given up in the last "
            f"{_REPORT_PERIOD_S:g} s; lower camera_rate_hz or real_time_factor"
        )
        if text:
            self.get_logger().warning(text)


def _info_topic(camera: CameraConfig) -> str:
    """The robot file's, else `camera_info` beside the image topic, as image_transport has it."""
    return camera.camera_info or f"{camera.topic.rpartition('/')[0]}/camera_info"


def _crosses(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]; never for `every` 0."""
    return every > 0 and after // every > before // every


def main() -> None:
    """Entry point of `sim_node`."""
    exit_process(run(SimNode, SimNode.close))


if __name__ == "__main__":
    main()
