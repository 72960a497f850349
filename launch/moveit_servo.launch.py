"""Start MoveIt Servo for the Panda, and vla_node, which sends it twists.

ros2 launch vla_ros moveit_servo.launch.py
ros2 topic pub --once /vla/instruction std_msgs/msg/String "data: open the drawer"

Servo commands the arm's trajectory controller: that of the simulated tabletop, or of a driver.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import Command, FindExecutable, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from vla_ros.ros.launch_arguments import refuse_unknown

HERE = Path(__file__).parent
SHARE = HERE.parent
MOVEIT = SHARE / "config/moveit"


def generate_launch_description() -> LaunchDescription:
    """Describe the nodes; the arguments of vla.launch.py are valid here too."""
    vla = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / "vla.launch.py")),
        launch_arguments={"publish_description": LaunchConfiguration("simulate")}.items(),
    )
    # The include comes first: it sets the shared-memory profile for the other processes.
    description = LaunchDescription([*arguments(), vla, simulated_arm(), servo()])
    refuse_unknown(description, __file__)
    return description


def arguments() -> list[DeclareLaunchArgument]:
    """What a user may set besides the arguments of vla.launch.py."""
    return [
        DeclareLaunchArgument(
            "robot_file",
            default_value=str(SHARE / "config/panda_moveit_servo.yaml"),
            description="Robot file (YAML) of the arm; its sink is servo_twist or servo_pose.",
        ),
        DeclareLaunchArgument(
            "simulate",
            default_value="true",
            choices=["true", "false"],
            description="Start the simulated tabletop as the arm; false leaves it to your drivers.",
        ),
    ]


def simulated_arm() -> Node:
    """The tabletop with a trajectory controller, for which Servo's output is meant."""
    parameters = {
        "robot_file": str(SHARE / "config/panda.yaml"),
        "publish_clock": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool),
    }
    return Node(
        package="vla_ros",
        executable="sim_node",
        name="sim_node",
        namespace=LaunchConfiguration("namespace"),
        parameters=[parameters],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        output="screen",
        condition=IfCondition(LaunchConfiguration("simulate")),
    )


def servo() -> Node:
    """MoveIt Servo, with everything that MoveIt must know about the arm."""
    urdf = [FindExecutable(name="xacro"), f" '{SHARE / 'description/panda.urdf.xacro'}'"]
    parameters = {
        "robot_description": ParameterValue(Command(urdf), value_type=str),
        "robot_description_semantic": ParameterValue(
            (MOVEIT / "panda.srdf").read_text(encoding="utf-8"), value_type=str
        ),
        "use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool),
    }
    files = [str(MOVEIT / name) for name in ("kinematics.yaml", "joint_limits.yaml", "servo.yaml")]
    return Node(
        package="moveit_servo",
        executable="servo_node",
        name="servo_node",
        parameters=[*files, parameters],
        output="screen",
    )
