"""The demo, from its start to its files and exit status, with a policy that was never trained."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from vla_ros import cli
from vla_ros.demo.console import Console, end_line
from vla_ros.demo.report import table, verdict
from vla_ros.ros.take import EpisodeReport, LoopStatus, Take

# The first message type imports a parser that uses deprecated modules of Python's.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import rosidl_generator_py  # noqa: F401


@pytest.fixture(autouse=True)
def _own_domain(monkeypatch):
    """The demo chooses a domain, as for a user; that of the tests has their own participants."""
    monkeypatch.delenv("ROS_DOMAIN_ID")


BEGAN = EpisodeReport(
    seed=1,
    task="open_drawer",
    color="",
    direction="",
    place="",
    instruction="open the drawer",
    episode=2,
    time_s=0.0,
    success_s=None,
    reward=0.4,
    first_touched="",
    stamp_s=50.0,
)


def take_of(*, moved_rad: float = 0.7, success_s: float | None = None) -> Take:
    take = Take(instruction="open the drawer", began=BEGAN, limit_s=15.0)
    take.on_report(replace(BEGAN, time_s=success_s or 15.0, success_s=success_s))
    take.moved_rad, take.first_s, take.latest_s, take.wall_s = moved_rad, 50.0, 54.0, 8.0
    take.ages_ms = [90.0, 110.0, 400.0]
    return take


def test_demo_plays_three_scenes_and_fails_honestly(untrained_checkpoint, tmp_path, capsys):
    arguments = ["--checkpoint", str(untrained_checkpoint), "--out", str(tmp_path)]
    assert cli.main(["demo", *arguments, "--time-limit-s", "1.5"]) == 1
    out = capsys.readouterr().out
    tasks = re.findall(r"Scene \d of 3: (\w+)", out)
    assert len(set(tasks)) == 3
    texts = re.findall(r'/vla/instruction: "(.*)"', out)
    assert len(texts) == 3
    assert out.count("Failed: the goal was not reached within 1.5 s.") == 3
    for task, text in zip(tasks, texts, strict=True):
        assert re.search(rf"{text} +{task} +no +\d\.\d s +\d+ ms +\d+ ms +\d\.\d\d rad", out)
    assert "the arm moved, but no instruction succeeded" in out
    stills = cv2.imread(str(tmp_path / "contact_sheet.png"))
    assert stills.shape[1] == 5 * 2 * 192
    assert stills.std() > 10
    assert cv2.imread(str(tmp_path / "plans.png")).shape == (480, 3 * 480, 3)
    film = cv2.VideoCapture(str(tmp_path / "demo.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_WIDTH) == 2 * 384
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) > 3 * 20
    for name in ("sim_node", "vla_node"):
        assert "SIGINT received: stopping" in (tmp_path / f"{name}.log").read_text()


@pytest.fixture
def demo_process(untrained_checkpoint, tmp_path):
    command = [sys.executable, "-u", "-m", "vla_ros", "demo", "--out", str(tmp_path)]
    command += ["--checkpoint", str(untrained_checkpoint)]
    home = Path(__file__).parents[1]
    with subprocess.Popen(
        command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        yield process
        process.kill()


def test_an_impatient_ctrl_c_leaves_no_process(demo_process):
    pids, said = [], []
    for line in demo_process.stdout:
        said.append(line)
        pids += [int(pid) for pid in re.findall(r"\(process (\d+)\)", line)]
        if "/vla/instruction" in line:
            break
    assert len(pids) == 2, "".join(said)
    demo_process.send_signal(signal.SIGINT)
    demo_process.send_signal(signal.SIGINT)
    rest = demo_process.stdout.read()
    assert demo_process.wait(20) == cli.EXIT_INTERRUPTED, rest
    assert "Traceback" not in rest
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_task_that_does_not_exist_is_refused_before_anything_starts(capsys):
    assert cli.main(["demo", "--tasks", "juggle", "--checkpoint", "none"]) == cli.EXIT_ERROR
    captured = capsys.readouterr()
    assert "task 'juggle' is unknown; valid: pick_object" in captured.err
    assert "Starting" not in captured.out


def test_a_checkpoint_that_is_missing_is_told_in_the_words_of_the_node(tmp_path, capsys):
    arguments = ["--checkpoint", str(tmp_path / "nothing"), "--out", str(tmp_path)]
    assert cli.main(["demo", *arguments]) == cli.EXIT_ERROR
    assert "vla_node refuses" in (err := capsys.readouterr().err)
    assert "nothing/config.json" in err


def test_verdict_asks_for_motion_by_the_policy_and_one_success():
    success, failure = take_of(success_s=4.0), take_of()
    assert verdict([failure, success, failure]) == ""
    assert "no instruction succeeded" in verdict([failure, failure])
    still = take_of(moved_rad=0.01, success_s=4.0)
    assert "did not move by the policy's doing" in verdict([still, still])


def test_table_tells_success_time_and_ages():
    rows = table([take_of(success_s=4.0), take_of()]).splitlines()
    words = " ".join(rows[2].split())
    assert words == "open the drawer open_drawer yes 4.0 s 110 ms 400 ms 0.70 rad"
    assert rows[3].split()[4:7] == ["no", "15.0", "s"]
    assert "0.50 of real time" in rows[4]
    silent = take_of()
    silent.ages_ms = []
    assert table([silent]).splitlines()[2].split()[7:9] == ["-", "-"]


def test_a_fault_is_told_with_its_reason():
    take = take_of()
    take.on_status(
        LoopStatus.from_values("it knows no such word", {"status": "fault_policy_error"})
    )
    assert "fault_policy_error: it knows no such word" in end_line(take)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("kind", "breaks"), [(Terminal, 2), (io.StringIO, 3)])
def test_progress_is_one_line_in_a_terminal_and_lines_elsewhere(kind, breaks):
    stream, take = kind(), take_of(success_s=4.0)
    console = Console(stream, period_s=0.0)
    console.follow(take)
    console.tell_end(take)
    text = stream.getvalue()
    assert text.count("\n") == breaks
    assert ("\r\x1b[2K" in text) == (kind is Terminal)
    assert "4.0 of 15 s  no status yet" in text
    assert "Done after 4.0 s" in text
