"""Install vla_ros: with colcon on a ROS machine, with pip in a virtual environment."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "vla_ros"
SHARE = f"share/{PACKAGE}"
# Everything below these folders is installed beside package.xml, at the same relative place.
SHARED_FOLDERS = ("launch", "config", "description", "checkpoints")


def shared_files() -> list[tuple[str, list[str]]]:
    """Every file of the shared folders, by the folder that it is installed to."""
    by_folder: dict[str, list[str]] = {}
    for top in SHARED_FOLDERS:
        for path in sorted(Path(top).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                by_folder.setdefault(f"{SHARE}/{path.parent.as_posix()}", []).append(str(path))
    return sorted(by_folder.items())


setup(
    name=PACKAGE,
    version="0.1.0",
    description="Run a vision-language-action (VLA) policy on a ROS 2 arm.",
    author="The vla_ros developers",
    maintainer="The vla_ros developers",
    maintainer_email="maintainers@vla-ros.example",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["robot_schema.json"], f"{PACKAGE}.learn": ["report.html"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (SHARE, ["package.xml"]),
        *shared_files(),
    ],
    # What package.xml asks of the distro is not asked of pip here: pip would shadow it.
    # The versions this is tested with are in requirements.txt.
    install_requires=["setuptools"],
    extras_require={
        # colcon runs no tests without this extra
        "test": ["pytest"],
        "policy": ["torch", "safetensors", "ruckig", "websockets>=15", "msgpack>=1.0.5"],
        "record": ["mcap"],
        "int8": ["onnx", "onnxruntime"],
        # In an environment of its own: it pins torch and much else.
        "lerobot": [
            "lerobot>=0.4.4",
            "websockets>=15",
            "msgpack>=1.0.5",
            "pyyaml",
            "jsonschema",
            "xacro",
        ],
        "sim": ["mujoco", "mink", "gymnasium"],
        "augment": ["kornia"],
        "tensorboard": ["tensorboardX"],
        "learn": ["av", "pyarrow", "tqdm", "matplotlib", "jinja2"],
    },
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "vla = vla_ros.cli:run_process",
            "vla_node = vla_ros.ros.vla_node:main",
            "sim_node = vla_ros.ros.sim_node:main",
        ],
    },
)
