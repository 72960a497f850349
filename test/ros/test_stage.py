"""The two nodes as processes: they start, play, tell what is wrong, and never stay behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from rclpy.client import Client
from rclpy.task import Future

from vla_ros.errors import NodeError, ParameterError, SceneError
from vla_ros.learn.jobs import Job, Settings
from vla_ros.ros.interruption import Interruption
from vla_ros.ros.node_process import NodeProcess
from vla_ros.ros.remote_evaluation import evaluate_through_ros, play_all
from vla_ros.ros.stage import Cue, StageOptions, open_stage
from vla_ros.share import share_path

ROBOT = share_path("config/panda.yaml")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def stage(untrained_checkpoint, log_dir):
    """A stage for several tests; its end is tested too."""
    options = StageOptions(
        checkpoint=untrained_checkpoint, robot=ROBOT, with_pictures=True, log_dir=log_dir
    )
    with open_stage(options) as stage:
        pids = [process.pid for process in stage.processes]
        assert all(map(is_alive, pids))
        yield stage
        assert all(map(is_alive, pids))
    assert not any(map(is_alive, pids))
    for name in ("sim_node", "vla_node"):
        log = (log_dir / f"{name}.log").read_text()
        assert "SIGINT received: stopping" in log
        assert "Traceback" not in log


def test_an_episode_runs_over_topics(stage):
    progress = []
    take = stage.play(Cue(task="push_object", seed=3), 2.0, progress.append)
    assert take.began.task == "push_object"
    assert take.instruction == take.began.instruction
    assert take.began.color in take.instruction
    assert take.moved_rad > 0.05
    assert min(take.ages_ms) > 0
    assert take.report.time_s >= 2.0
    assert not take.is_success
    assert progress[-1] is take
    shapes = {picture.shape for shot in take.shots for picture in shot.pictures.values()}
    assert shapes == {(192, 192, 3)}


def test_nothing_of_an_episode_reaches_the_next(stage, log_dir):
    stage.play(Cue(task="pick_object", seed=5), 1.0)
    take = stage.play(Cue(task="open_drawer", seed=4, template="open it, drawer!"), 1.0)
    assert (take.began.seed, take.instruction) == (4, "open it, drawer!")
    assert take.shots[0].stamp_s > take.began.stamp_s
    # The words of the episode before were not followed in this one's scene.
    after = (log_dir / "vla_node.log").read_text().rpartition("]: active\n")[2]
    before, words, running = after.partition("instruction: 'open it, drawer!'")
    assert words
    assert "waiting_for_instruction" in before
    assert "running" not in before
    assert "running" in running


def test_an_episode_that_cannot_be_is_refused_and_the_stage_stands(stage):
    with pytest.raises(SceneError, match="juggle"):
        stage.play(Cue(task="juggle", seed=1), 1.0)
    with pytest.raises(SceneError, match="cannot be filled"):
        stage.play(Cue(task="push_object", seed=3, template="push the {size} block"), 1.0)
    assert stage.play(Cue(task="open_drawer", seed=6), 0.5).began.seed == 6


def test_a_lost_request_and_a_lost_answer_are_made_up_for(stage, monkeypatch):
    """Of every service, the first request gets lost, and the answer to the second."""
    asked = Counter()
    send = Client.call_async

    def send_or_lose(client, request):
        asked[client.srv_name] += 1
        if asked[client.srv_name] == 1:
            return Future()
        answer = send(client, request)
        return Future() if asked[client.srv_name] == 2 else answer

    monkeypatch.setattr(Client, "call_async", send_or_lose)
    monkeypatch.setattr("vla_ros.ros.waiter._ASK_AGAIN_S", 0.5)
    assert stage.play(Cue(task="open_drawer", seed=7), 0.5).began.seed == 7
    assert set(asked) >= {f"/vla_node/{name}" for name in ("change_state", "get_state")}
    assert min(asked.values()) >= 2


def test_scored_through_ros(stage, tmp_path):
    settings = evaluation(policy="checkpoint", checkpoint=Path(), film=tmp_path)
    jobs = [Job(task="push_object", seed=1001, template="push {color} {direction}")]
    (scored,) = play_all(stage, settings, jobs, limit_s=0.6)
    assert (scored.task, scored.seed) == ("push_object", 1001)
    assert scored.instruction.split()[0] == "push"
    assert scored.instruction.split()[1] == scored.color
    assert not scored.outcome.success
    assert scored.outcome.time_s >= 0.6
    assert abs(scored.outcome.reward) < 1
    assert (tmp_path / "push_object_1001_failure.mp4").stat().st_size > 1000


def test_a_node_that_refuses_its_robot_ends_the_stage_with_its_words(
    untrained_checkpoint, robot_file, monkeypatch
):
    shared = os.environ["ROS_DOMAIN_ID"]
    monkeypatch.delenv("ROS_DOMAIN_ID")
    options = StageOptions(checkpoint=untrained_checkpoint, robot=robot_file)
    with (
        pytest.raises(NodeError, match="sim_node ended with status 1") as caught,
        open_stage(options),
    ):
        pass
    assert "simulated: panda_joint1" in str(caught.value)
    # Nobody had chosen a domain, so it was one in which nobody else is.
    assert os.environ["ROS_DOMAIN_ID"] != shared


@pytest.mark.parametrize(("policy", "why"), [("expert", "simulator's state"), ("random", "random")])
def test_other_policies_are_refused_over_topics(policy, why):
    with pytest.raises(ParameterError, match=why):
        evaluate_through_ros(evaluation(policy=policy, checkpoint=Path(), film=None), [])


def evaluation(*, policy: str, checkpoint: Path, film: Path | None) -> Settings:
    return Settings(
        policy=policy,
        checkpoint=checkpoint,
        robot=ROBOT,
        combinations="seen",
        wordings="seen",
        latency_s=0.05,
        film_dir=film,
    )


@pytest.fixture
def start_module(tmp_path, monkeypatch):
    """Start a module of the given code as if it were a node."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def start(code: str) -> NodeProcess:
        (tmp_path / "stubborn.py").write_text(code)
        return NodeProcess("stubborn", "stubborn", {"text": "a 'b' \"c\""}, tmp_path / "log")

    return start


def until_said(process: NodeProcess, word: str, tmp_path: Path) -> None:
    subprocess.run(
        ["timeout", "20", "sh", "-c", f"until grep -q {word} {tmp_path / 'log'}; do :; done"],
        check=True,
    )


def test_a_process_that_dies_is_told_with_its_last_words(start_module, tmp_path):
    process = start_module("import sys; sys.exit('no such robot: ' + sys.argv[-1])")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(NodeError, match="stubborn ended with status 1") as caught:
        process.check()
    assert 'no such robot: text:="a \'b\' \\"c\\""' in str(caught.value)


def test_a_process_that_ignores_the_signal_is_killed(start_module, tmp_path):
    code = (
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\nsignal.pause()"
    )
    process = start_module(code)
    until_said(process, "deaf", tmp_path)
    process.check()
    process.end(within_s=0.2)
    assert not is_alive(process.pid)


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def number(request):
    """A signal that is not ignored, as SIGHUP is under nohup."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_is_heard_between_two_waits_and_never_within(number):
    heard = False
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        heard = interrupt_twice(number, interruption)
    assert heard
    assert signal.getsignal(number) is signal.default_int_handler


def test_a_signal_that_is_ignored_stays_so(number):
    signal.signal(number, signal.SIG_IGN)
    with Interruption() as interruption:
        os.kill(os.getpid(), number)
        assert not interruption.received
    assert signal.getsignal(number) is signal.SIG_IGN


def interrupt_twice(number: signal.Signals, interruption: Interruption) -> bool:
    interruption.check()
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), number)
    return interruption.received
