"""Start the simulated tabletop and vla_node in front of it.

ros2 launch vla_ros sim.launch.py seed:=3 task:=push_object
ros2 topic pub --once /vla/instruction std_msgs/msg/String "data: open the drawer"
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from vla_ros.ros.launch_arguments import refuse_unknown

HERE = Path(__file__).parent


def generate_launch_description() -> LaunchDescription:
    """Describe both nodes; the arguments of vla.launch.py are valid here too."""
    vla = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / "vla.launch.py")),
        # For RViz; a simulated robot has no driver that does it.
        launch_arguments={"publish_description": "true"}.items(),
    )
    # The include comes first: it sets the shared-memory profile for both processes.
    description = LaunchDescription([*arguments(), vla, sim_node()])
    refuse_unknown(description, __file__)
    return description


def arguments() -> list[DeclareLaunchArgument]:
    """What a user may set besides the arguments of vla.launch.py."""
    return [
        DeclareLaunchArgument(
            "seed", default_value="0", description="Seed of the first episode, 0 or more."
        ),
        DeclareLaunchArgument(
            "task",
            default_value="",
            description="Task of the first episode: pick_object, place_object, push_object, "
            "open_drawer or close_drawer; empty draws one by the seed.",
        ),
        DeclareLaunchArgument(
            "real_time_factor",
            default_value="1.0",
            description="Simulated seconds a second; other than 1.0 needs use_sim_time:=true.",
        ),
        DeclareLaunchArgument(
            "camera_rate_hz",
            default_value="20.0",
            description="Pictures a simulated second, of each camera.",
        ),
    ]


def sim_node() -> Node:
    """The simulated robot; with `use_sim_time` it publishes the /clock that others follow."""
    sources = {
        "robot_file": ("robot_file", str),
        "seed": ("seed", int),
        "task": ("task", str),
        "real_time_factor": ("real_time_factor", float),
        "camera_rate_hz": ("camera_rate_hz", float),
        "publish_clock": ("use_sim_time", bool),
    }
    parameters = {
        name: ParameterValue(LaunchConfiguration(argument), value_type=kind)
        for name, (argument, kind) in sources.items()
    }
    return Node(
        package="vla_ros",
        executable="sim_node",
        name="sim_node",
        namespace=LaunchConfiguration("namespace"),
        parameters=[parameters],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        output="screen",
    )
