"""Show the arm, its cameras and the policy's plan in RViz; `rviz:=true` of the others starts it.

ros2 launch vla_ros rviz.launch.py robot_file:=/path/ur5e.yaml

The plan is shown twice: as markers of the tip's path, and as a transparent robot, which is a second
robot_state_publisher whose frames start with `plan/`.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.ros.launch_arguments import refuse_unknown
from vla_ros.urdf import expand

SHARE = Path(__file__).parents[1]
# Topics of the cameras in config/vla.rviz; those of the robot file take their place, in its order.
SHOWN = ("/camera/front/image_raw", "/camera/wrist/image_raw")
GHOST = "plan"


def generate_launch_description() -> LaunchDescription:
    """Describe RViz and what it needs beside the drivers."""
    description = LaunchDescription([*arguments(), OpaqueFunction(function=viewers)])
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
            "publish_description",
            default_value="false",
            choices=["true", "false"],
            description="Publish /robot_description and the transforms too, where no driver does.",
        ),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="false",
            choices=["true", "false"],
            description="Follow /clock instead of the system's time.",
        ),
        DeclareLaunchArgument(
            "namespace", default_value="", description="Namespace of vla_node, whose plan is shown."
        ),
    ]


def viewers(context: LaunchContext) -> list[Node]:
    """The nodes, for the robot file that was asked for; a wrong one ends the launch with why."""
    robot = load_robot(Path(LaunchConfiguration("robot_file").perform(context)))
    prefix = LaunchConfiguration("namespace").perform(context).strip("/")
    vla_node = f"/{prefix}/vla_node" if prefix else "/vla_node"
    ghost = state_publisher(robot, f"{vla_node}/plan/joint_states", is_ghost=True)
    nodes = [ghost, anchor(robot), rviz(robot, vla_node)]
    if LaunchConfiguration("publish_description").perform(context) == "true":
        nodes.append(state_publisher(robot, robot.state.topic))
    return nodes


def state_publisher(robot: RobotConfig, joint_states: str, *, is_ghost: bool = False) -> Node:
    """Publishes the URDF and, from joint states, the transforms; the ghost has its own."""
    parameters = {
        "robot_description": ParameterValue(expand(robot.urdf_path), value_type=str),
        "frame_prefix": f"{GHOST}/" if is_ghost else "",
        **sim_time(),
    }
    return Node(
        package="robot_state_publisher",
        executable="robot_state_publisher",
        name="robot_state_publisher",
        parameters=[parameters],
        remappings=[("joint_states", joint_states)],
        namespace=GHOST if is_ghost else "",
    )


def anchor(robot: RobotConfig) -> Node:
    """Puts the ghost's base where the arm's is."""
    frames = ["--frame-id", robot.base_link, "--child-frame-id", f"{GHOST}/{robot.base_link}"]
    return Node(
        package="tf2_ros",
        executable="static_transform_publisher",
        name="ghost_anchor",
        arguments=frames,
        parameters=[sim_time()],
    )


def rviz(robot: RobotConfig, vla_node: str) -> Node:
    """RViz with our configuration, its topics exchanged for those of the robot file."""
    shown = zip(SHOWN, robot.cameras.values(), strict=False)
    remappings = [(topic, camera.topic) for topic, camera in shown]
    remappings += [
        (f"/vla_node/{topic}", f"{vla_node}/{topic}") for topic in ("plan/markers", "debug/image")
    ]
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz2",
        arguments=["-d", str(SHARE / "config/vla.rviz"), "--fixed-frame", robot.base_link],
        parameters=[sim_time()],
        remappings=remappings,
    )


def sim_time() -> dict[str, ParameterValue]:
    """The parameter that every node has."""
    value = ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)
    return {"use_sim_time": value}
