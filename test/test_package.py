"""What is installed is complete, and what package.xml, setup.py and the code say agrees."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pytest
import setuptools  # noqa: F401  (its distutils stands in for the one that Python 3.12 dropped)

import vla_ros

ROOT = Path(__file__).parents[1]
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()
SHARED_FOLDERS = ("launch", "config", "description", "checkpoints")
# Python module -> rosdep key, where they differ.
ROSDEP_KEYS = {
    "cv2": "python3-opencv",
    "jinja2": "python3-jinja2",
    "jsonschema": "python3-jsonschema",
    "matplotlib": "python3-matplotlib",
    "numpy": "python3-numpy",
    "tqdm": "python3-tqdm",
    "yaml": "python3-yaml",
}


@pytest.fixture(scope="module")
def distribution():
    """What setup.py declares, as setuptools sees it."""
    from distutils.core import run_setup

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        yield run_setup("setup.py", stop_after="init")


def dependencies(kind: str = "exec_depend") -> set[str]:
    return {node.text for node in MANIFEST.findall(kind)}


def console_scripts(distribution) -> dict[str, str]:
    lines = distribution.entry_points["console_scripts"]
    return dict(re.split(r"\s*=\s*", line, maxsplit=1) for line in lines)


def xml_files() -> list[Path]:
    kinds = (".xml", ".xacro", ".urdf", ".sdf", ".srdf")
    files = [path for name in SHARED_FOLDERS for path in (ROOT / name).rglob("*")]
    return sorted(path for path in [*ROOT.glob("*.xml"), *files] if path.suffix in kinds)


@pytest.mark.parametrize("path", xml_files(), ids=lambda path: path.name)
def test_xml_is_well_formed(path):
    ElementTree.parse(path)


def test_manifest_says_what_ros_tools_need():
    assert MANIFEST.get("format") == "3"
    assert MANIFEST.findtext("license") == "Apache-2.0"  # the SPDX name
    assert MANIFEST.find("license").get("file") == "LICENSE"
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert MANIFEST.findtext("export/build_type") == "ament_python"


def test_name_and_version_agree_everywhere(distribution):
    assert MANIFEST.findtext("name") == distribution.get_name() == "vla_ros"
    version = MANIFEST.findtext("version")
    assert version == distribution.get_version() == vla_ros.__version__
    assert version in (ROOT / "CHANGELOG.rst").read_text()
    assert (ROOT / "resource" / "vla_ros").exists()


def test_every_shared_file_is_installed_at_its_own_place(distribution):
    installed = {(folder, str(file)) for folder, files in distribution.data_files for file in files}
    assert ("share/ament_index/resource_index/packages", "resource/vla_ros") in installed
    assert ("share/vla_ros", "package.xml") in installed
    for top in SHARED_FOLDERS:
        for path in (ROOT / top).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                file = path.relative_to(ROOT)
                assert (f"share/vla_ros/{file.parent}", str(file)) in installed


def test_every_package_and_its_data_is_installed(distribution):
    folders = {path.parent.relative_to(ROOT) for path in ROOT.glob("vla_ros/**/__init__.py")}
    assert {".".join(folder.parts) for folder in folders} == set(distribution.packages)
    for path in (ROOT / "vla_ros").rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            package = ".".join(path.parent.relative_to(ROOT).parts)
            assert path.name in distribution.package_data.get(package, [])


def test_every_executable_has_its_function(distribution):
    for target in console_scripts(distribution).values():
        module, function = target.split(":")
        assert callable(getattr(import_module(module), function))


def executables_of(launch_file: Path) -> list[str]:
    """Values of `executable=` in the calls of a launch file that name our package."""
    calls = [
        node for node in ast.walk(ast.parse(launch_file.read_text())) if isinstance(node, ast.Call)
    ]
    found = []
    for call in calls:
        words = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
        if words.get("package") == "vla_ros":
            found.append(words["executable"])
    return found


def test_every_executable_that_a_launch_file_names_is_installed(distribution):
    found = [name for path in (ROOT / "launch").glob("*.py") for name in executables_of(path)]
    assert found
    assert set(found) <= set(console_scripts(distribution))


def test_every_import_is_declared_to_rosdep_or_pip(distribution):
    declared = dependencies() | pip_names(distribution)
    for path in (ROOT / "vla_ros").rglob("*.py"):
        for name in top_level_imports(path):
            if name != "vla_ros" and name not in sys.stdlib_module_names:
                assert ROSDEP_KEYS.get(name, name) in declared, f"{path.name} imports {name}"


def pip_names(distribution) -> set[str]:
    """What the extras ask of pip, without the versions."""
    extras = distribution.extras_require.values()
    return {re.match(r"[\w-]+", requirement)[0] for extra in extras for requirement in extra}


def top_level_imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_training_completes_what_was_interrupted(tmp_path):
    # The folders that are there may hold an interrupted recording or training.
    data, out = tmp_path / "data", tmp_path / "run"
    first = tmp_path / "run_first"
    first.mkdir()
    (first / "training_state.pt").touch()
    commands = _training_commands(data, out)
    assert [words[0] for words in commands] == 5 * ["collect", "train"]
    # The last round is on scenes of its own.
    assert all(str(data) in words for words in commands[:8])
    assert all(f"{data}_disturbed" in words for words in commands[8:])
    assert ["--resume" in words for words in commands] == [False, True, *8 * [False]]
    begun = [words[words.index("--init") + 1] for words in commands if "--init" in words]
    assert begun == [f"{out}_{which}" for which in ("first", "second", "third", "fourth")]


def test_a_training_that_is_finished_is_left_alone(tmp_path):
    # The data of the rounds after it are there, too: it would be refused to go on.
    first = tmp_path / "run_first"
    first.mkdir()
    (first / "config.json").write_text(json.dumps({"training": {"finished": True}}, indent=2))
    (first / "training_state.pt").touch()
    commands = _training_commands(tmp_path / "data", tmp_path / "run")
    assert [words[0] for words in commands] == ["collect", *4 * ["collect", "train"]]


def _training_commands(data: Path, out: Path) -> list[list[str]]:
    """What `make train` would run: words after `python -m vla_ros`."""
    command = ["make", "--dry-run", "train", f"DATA={data}", f"OUT={out}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    recipe = done.stdout.replace("\\\n", " ").splitlines()
    found = [line.partition("-m vla_ros ") for line in recipe]
    commands = [(before.split(), words.split()) for before, said, words in found if said]
    assert all(len(before) == 1 for before, _ in commands)  # the interpreter, no condition
    return [words for _, words in commands]


def test_pip_extras_are_in_the_pinned_list(distribution):
    # LeRobot asks for other versions of what is in the list: it has an environment of its own.
    files = ("requirements.txt", "scripts/setup_lerobot.sh")
    text = "\n".join((ROOT / file).read_text() for file in files)
    pinned = set(re.findall(r"(?:^|[\s'])([\w-]+)(?:\[\w+\])?==", text, re.MULTILINE))
    assert pip_names(distribution) <= pinned


def test_colcon_finds_tests_and_puts_executables_where_ros2_run_looks(distribution):
    assert "pytest" in distribution.extras_require["test"]
    assert "install_scripts=$base/lib/vla_ros" in (ROOT / "setup.cfg").read_text()
