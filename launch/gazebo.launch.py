"""Start Gazebo with the tabletop and the arm, its controllers and cameras, then vla_node.

ros2 launch vla_ros gazebo.launch.py headless:=true
ros2 topic pub --once /vla/instruction std_msgs/msg/String "data: open the drawer"

Gazebo Harmonic (Jazzy) or later. Each step waits for the one before: the arm is put into the world,
then joint_state_broadcaster, the arm's and the hand's controller are started, then vla_node.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import (
    Command,
    EnvironmentVariable,
    FindExecutable,
    IfElseSubstitution,
    LaunchConfiguration,
    PathJoinSubstitution,
)
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from vla_ros.ros.dds_profile import PROFILE_VARIABLES
from vla_ros.ros.launch_arguments import refuse_unknown

HERE = Path(__file__).parent
SHARE = HERE.parent
CONTROLLERS = SHARE / "config/gazebo/controllers.yaml"
SIM_TIME = {"use_sim_time": True}


def generate_launch_description() -> LaunchDescription:
    """Describe the simulation; the arguments of vla.launch.py are valid here too."""
    arm = spawn_arm()
    broadcaster = spawner("joint_state_broadcaster")
    controllers = spawner("panda_arm_controller", "panda_hand_controller")
    description = LaunchDescription(
        [
            DeclareLaunchArgument(
                "headless",
                default_value="false",
                choices=["true", "false"],
                description="Render the cameras without a window or a display.",
            ),
            # Declared before vla.launch.py does it with another default.
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="true",
                choices=["true"],
                description="Follow /clock, which Gazebo's bridge publishes.",
            ),
            # As vla.launch.py does, which comes too late for the bridge that sends the pictures.
            *map(profile, PROFILE_VARIABLES),
            after(arm, broadcaster),
            after(broadcaster, controllers),
            after(controllers, vla()),
            gazebo(),
            state_publisher(),
            bridge(),
            arm,
        ]
    )
    refuse_unknown(description, __file__)
    return description


def gazebo() -> IncludeLaunchDescription:
    """Gazebo, running from the start: a paused world would let the spawners time out."""
    launch_file = PathJoinSubstitution(
        [FindPackageShare("ros_gz_sim"), "launch", "gz_sim.launch.py"]
    )
    window = IfElseSubstitution(
        LaunchConfiguration("headless"), if_value="-s --headless-rendering ", else_value=""
    )
    world = f"'{SHARE / 'description/tabletop.sdf'}'"
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(launch_file),
        launch_arguments={"gz_args": ["-r ", window, world], "on_exit_shutdown": "true"}.items(),
    )


def state_publisher() -> Node:
    """Publishes the URDF with what Gazebo needs, which `spawn_arm` reads."""
    urdf = [FindExecutable(name="xacro"), f" '{SHARE / 'description/panda.urdf.xacro'}'"]
    arguments = f" gazebo:=true 'controllers:={CONTROLLERS}'"
    description = ParameterValue(Command([*urdf, arguments]), value_type=str)
    return Node(
        package="robot_state_publisher",
        executable="robot_state_publisher",
        name="robot_state_publisher",
        parameters=[{"robot_description": description, **SIM_TIME}],
        output="screen",
    )


def spawn_arm() -> Node:
    """Puts the arm into the world."""
    return Node(
        package="ros_gz_sim",
        executable="create",
        name="spawn_arm",
        arguments=["-topic", "/robot_description", "-name", "panda"],
        parameters=[SIM_TIME],
        output="screen",
    )


def bridge() -> Node:
    """Carries clock and cameras from Gazebo to ROS."""
    config = str(SHARE / "config/gazebo/bridge.yaml")
    return Node(
        package="ros_gz_bridge",
        executable="parameter_bridge",
        name="gazebo_bridge",
        parameters=[{"config_file": config, **SIM_TIME}],
        output="screen",
    )


def spawner(*controllers: str) -> Node:
    """Loads and activates controllers in Gazebo's controller manager."""
    return Node(
        package="controller_manager",
        executable="spawner",
        name=f"spawner_of_{controllers[0]}",
        arguments=[*controllers, "--param-file", str(CONTROLLERS), "--switch-timeout", "30"],
        parameters=[SIM_TIME],
        output="screen",
    )


def vla() -> IncludeLaunchDescription:
    """The policy."""
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(HERE / "vla.launch.py")))


def after(first: Node, then: Node | IncludeLaunchDescription) -> RegisterEventHandler:
    """Start `then` when `first` has ended."""
    return RegisterEventHandler(OnProcessExit(target_action=first, on_exit=[then]))


def profile(variable: str) -> SetEnvironmentVariable:
    """More shared memory for pictures, unless the user has set something else."""
    ours = str(SHARE / "config/fastdds_shm.xml")
    return SetEnvironmentVariable(variable, EnvironmentVariable(variable, default_value=ours))
