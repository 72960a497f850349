"""Start vla_node for one arm and one policy, then configure and activate it.

ros2 launch vla_ros vla.launch.py robot_file:=/path/ur5e.yaml checkpoint:=/path/to/checkpoint
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.events import matches_action
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

from vla_ros.robot_config import load_robot
from vla_ros.ros.dds_profile import PROFILE_VARIABLES
from vla_ros.ros.launch_arguments import refuse_unknown

# The package's share folder when installed, the repository in a source tree.
SHARE = Path(__file__).parents[1]


def generate_launch_description() -> LaunchDescription:
    """Describe the node, its arguments and its way to `active`."""
    node = vla_node()
    description = LaunchDescription(
        [
            *arguments(),
            OpaqueFunction(function=refuse_wrong_robot_file),
            # Images do not arrive through the default shared memory; a user's own profile wins.
            *map(profile, PROFILE_VARIABLES),
            activate_once_configured(node),
            node,
            change_state(node, Transition.TRANSITION_CONFIGURE),
            rviz(),
        ]
    )
    refuse_unknown(description, __file__)
    return description


def arguments() -> list[DeclareLaunchArgument]:
    """What a user may set."""
    return [
        DeclareLaunchArgument(
            "robot_file",
            default_value=str(SHARE / "config/panda.yaml"),
            description="Robot file (YAML) of the arm.",
        ),
        DeclareLaunchArgument(
            "checkpoint",
            default_value=str(SHARE / "checkpoints/tabletop"),
            description="Folder of the trained policy.",
        ),
        DeclareLaunchArgument(
            "backend",
            default_value="vla",
            choices=["vla", "lerobot"],
            description="What the policy was trained with; lerobot needs policy_python.",
        ),
        DeclareLaunchArgument(
            "mode",
            default_value="drive",
            choices=["drive", "shadow"],
            description="shadow plans beside somebody who moves the arm and commands nothing.",
        ),
        DeclareLaunchArgument(
            "device",
            default_value="auto",
            description="Where the policy computes: auto, cpu or cuda.",
        ),
        DeclareLaunchArgument(
            "precision",
            default_value="exact",
            choices=["exact", "bf16", "int8"],
            description="bf16 is for CUDA; int8 has 8-bit weights on a CPU, and needs onnx and "
            "onnxruntime.",
        ),
        DeclareLaunchArgument(
            "policy",
            default_value="process",
            description="Where the policy lives: process (a child of the node), in_process, or a "
            "policy server, ws://HOST:PORT; its API key is taken from VLA_ROS_API_KEY.",
        ),
        DeclareLaunchArgument(
            "policy_python",
            default_value="",
            description="Python (3.11 or newer) of the policy's process, such as "
            "/home/me/torch/bin/python; empty takes the one that runs the node.",
        ),
        DeclareLaunchArgument(
            "threads",
            default_value="0",
            description="Threads of the policy on a CPU; 0 takes all cores but one, for control.",
        ),
        DeclareLaunchArgument(
            "realtime_priority",
            default_value="50",
            description="Priority of the thread that ticks, 1 to 99, where the user may have one; "
            "0 for none.",
        ),
        DeclareLaunchArgument(
            "speed_scale",
            default_value="1.0",
            description="Share of the robot file's velocity limits, 0.01 to 1.0; 0.1 for the first "
            "motion of a robot.",
        ),
        DeclareLaunchArgument(
            "recordings",
            default_value="",
            description="Folder for the last 30 s before a fault; empty takes ~/.ros/vla_ros.",
        ),
        DeclareLaunchArgument(
            "clock_timeout_s",
            default_value="0.5",
            description="The clock counts as stopped after standing still for this long, in s.",
        ),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="false",
            choices=["true", "false"],
            description="Follow /clock instead of the system's time.",
        ),
        DeclareLaunchArgument(
            "autostart",
            default_value="true",
            choices=["true", "false"],
            description="Configure and activate the node; false leaves it to a lifecycle manager.",
        ),
        DeclareLaunchArgument(
            "namespace",
            default_value="",
            description="Namespace of the node; topics with a leading / stay as they are.",
        ),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=["debug", "info", "warn", "error", "fatal"],
            description="Lowest level that is logged.",
        ),
        DeclareLaunchArgument(
            "rviz",
            default_value="false",
            choices=["true", "false"],
            description="Show the arm, its cameras and the plan in RViz.",
        ),
        DeclareLaunchArgument(
            "publish_description",
            default_value="false",
            choices=["true", "false"],
            description="With rviz: publish /robot_description and the transforms too, where no "
            "driver does.",
        ),
    ]


def refuse_wrong_robot_file(context: LaunchContext) -> None:
    """End the launch with all problems of the robot file, before anything is started."""
    load_robot(Path(LaunchConfiguration("robot_file").perform(context)))


def rviz() -> IncludeLaunchDescription:
    """RViz, when it is asked for."""
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch/rviz.launch.py")),
        condition=IfCondition(LaunchConfiguration("rviz")),
    )


def vla_node() -> LifecycleNode:
    """The node that runs the policy; each parameter has a type, so that `device:=0` stays text."""
    types = {
        "robot_file": str,
        "checkpoint": str,
        "backend": str,
        "mode": str,
        "device": str,
        "precision": str,
        "policy": str,
        "policy_python": str,
        "threads": int,
        "realtime_priority": int,
        "speed_scale": float,
        "recordings": str,
        "clock_timeout_s": float,
        "use_sim_time": bool,
    }
    parameters = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in types.items()
    }
    return LifecycleNode(
        package="vla_ros",
        executable="vla_node",
        name="vla_node",
        namespace=LaunchConfiguration("namespace"),
        parameters=[parameters],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        output="screen",
    )


def activate_once_configured(node: LifecycleNode) -> RegisterEventHandler:
    """Activate after configuring; a node that somebody deactivates later stays inactive."""
    return RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state="configuring",
            goal_state="inactive",
            entities=[change_state(node, Transition.TRANSITION_ACTIVATE)],
        ),
        condition=IfCondition(LaunchConfiguration("autostart")),
    )


def change_state(node: LifecycleNode, transition_id: int) -> EmitEvent:
    """Ask the node for a transition, as soon as it answers, unless `autostart` is false."""
    return EmitEvent(
        event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition_id),
        condition=IfCondition(LaunchConfiguration("autostart")),
    )


def profile(variable: str) -> SetEnvironmentVariable:
    """More shared memory for pictures, unless the user has set something else."""
    ours = str(SHARE / "config/fastdds_shm.xml")
    return SetEnvironmentVariable(variable, EnvironmentVariable(variable, default_value=ours))
