"""Evaluation: intervals, plans, texts from a file, and real episodes through the loop."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vla_ros import cli
from vla_ros.errors import ParameterError, SceneError
from vla_ros.learn import evaluate
from vla_ros.learn.evaluator import Evaluator
from vla_ros.learn.jobs import Job, Settings, plan, shuffled
from vla_ros.learn.rollout import Outcome
from vla_ros.learn.scores import Scored, robots_table, summarise, table, wilson_interval
from vla_ros.learn.wordings import read_templates
from vla_ros.share import share_path
from vla_ros.sim.world import TabletopSim


def test_wilson_interval_agrees_with_published_values() -> None:
    # Newcombe 1998, table I: 81 of 263 and 15 of 148, method 3.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def _scored(task: str, *, success: bool, touched: str) -> Scored:
    outcome = Outcome(success=success, reward=2.0 * success, time_s=3.0, first_touched=touched)
    return Scored(task=task, seed=1, color="red", instruction="take it", outcome=outcome)


def test_summary_counts_by_task_and_overall() -> None:
    scored = [
        _scored("pick_object", success=True, touched="red"),
        _scored("pick_object", success=False, touched="blue"),
        _scored("push_object", success=True, touched=""),
    ]
    summary = summarise(scored)
    assert summary["overall"]["success_rate"] == pytest.approx(2 / 3)
    assert summary["tasks"]["pick_object"]["episodes"] == 2
    assert summary["tasks"]["push_object"]["mean_reward"] == 2.0
    assert summary["overall"]["named_block_first"] == 0.5
    assert summary["overall"]["named_block_first_interval"] == list(wilson_interval(1, 2))
    assert "50.0% (9.5% – 90.5%) of the 2 episodes that touched one" in table("any", summary)
    assert "pick_object" in table("random", summary)
    other_words = summarise(scored, shuffled=True)
    assert other_words["overall"]["success_rate"] == summary["overall"]["success_rate"]
    assert other_words["overall"]["named_block_first"] is None
    assert "touched" not in table("any", other_words)


def test_outputs_stand_beside_the_interval_of_the_first() -> None:
    good = summarise([_scored("pick_object", success=True, touched="red")] * 10)
    bad = summarise([_scored("pick_object", success=False, touched="red")] * 10)
    head, first, same, worse = robots_table(
        {"panda": good, "panda_servo_twist": good, "panda_forward": bad}
    ).splitlines()
    assert "overall" in head
    assert first.startswith("panda ")
    assert first.endswith("100.0% (72.2% – 100.0%)")
    assert same.endswith("yes")
    assert worse.endswith("no")


def test_texts_are_used_in_turn_on_the_same_seeds() -> None:
    jobs = plan(["pick_object", "open_drawer"], 3, 50, {"pick_object": ["a {color}", "b {color}"]})
    assert [job.seed for job in jobs] == [50, 51, 52] * 2
    assert [job.template for job in jobs[:3]] == ["a {color}", "b {color}", "a {color}"]
    assert jobs[3].template is None


def test_file_of_texts_that_is_not_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "texts.yaml"
    path.write_text("pick_object: take it")
    with pytest.raises(SceneError, match="must be a list of texts, got 'take it'"):
        read_templates(path)
    path.write_text("juggle: [a]")
    with pytest.raises(SceneError, match="task 'juggle' is unknown"):
        read_templates(path)
    path.write_text("- a")
    with pytest.raises(SceneError, match="must map tasks to lists"):
        read_templates(path)


@pytest.mark.parametrize("content", [None, b"pick_object: [", b"\xff"])
def test_file_of_texts_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "texts.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SceneError, match=r"texts.yaml cannot be read"):
        read_templates(path)


def test_result_is_written_before_the_random_policy_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(settings: Settings, *_: object) -> list[Scored]:
        if settings.policy == "random":
            raise SceneError("the random run fails")
        return [_scored("pick_object", success=True, touched="red")]

    monkeypatch.setattr(evaluate, "evaluate_all", play)
    path = tmp_path / "new" / "folder" / "out.json"
    assert cli.main(["evaluate", "--policy", "expert", "--json", str(path)]) == cli.EXIT_ERROR
    result = json.loads(path.read_text())
    assert result["overall"]["success_rate"] == 1.0
    assert "random" not in result


def test_command_evaluates_the_expert_and_the_random_policy(tmp_path: Path) -> None:
    out, texts = tmp_path / "out.json", tmp_path / "texts.yaml"
    texts.write_text("close_drawer: [shut it now]")
    words = (
        f"evaluate --policy expert --tasks close_drawer --episodes 1 --jobs 1 --seed 1000 "
        f"--json {out} --instructions {texts} --video {tmp_path / 'films'}"
    )
    assert cli.main(words.split()) == 0
    result = json.loads(out.read_text())
    assert result["tasks"]["close_drawer"]["success_rate"] == 1.0
    assert result["episodes"][0]["instruction"] == "shut it now"
    assert result["random"]["overall"]["episodes"] == 1
    films = list((tmp_path / "films").glob("*.mp4"))
    assert [film.name for film in films] == ["close_drawer_1000_success.mp4"]
    assert films[0].stat().st_size > 2000


SETTINGS = Settings(
    policy="expert",
    checkpoint=Path(),
    robot=share_path("config/panda.yaml"),
    combinations="seen",
    wordings="seen",
    latency_s=0.0,
    film_dir=None,
)


def test_shuffled_words_ask_for_something_else() -> None:
    jobs = plan(["pick_object", "open_drawer"], 4, 50, {})
    world, mixed = TabletopSim(32), shuffled(jobs, SETTINGS, 0)
    assert [(job.task, job.seed) for job in mixed] == [(job.task, job.seed) for job in jobs]
    for job, other in zip(jobs, mixed, strict=True):
        own = world.reset(seed=job.seed, task=job.task).instruction
        changed = world.reset(seed=job.seed, task=job.task, instruction=other.template)
        assert changed.instruction == other.template != own
        assert "drawer" not in own or "drawer" not in changed.instruction
    assert shuffled(jobs, SETTINGS, 0) == mixed
    assert shuffled(jobs, SETTINGS, 1) != mixed


def test_words_that_all_ask_for_the_same_cannot_be_shuffled() -> None:
    with pytest.raises(ParameterError, match="--shuffled: all episodes ask for the same"):
        shuffled(plan(["open_drawer"], 3, 50, {}), SETTINGS, 0)


def test_what_counts_after_new_words_is_the_new_task() -> None:
    evaluator = Evaluator(replace(SETTINGS, switch_s=1.0))
    scored = evaluator.run(Job(task="pick_object", seed=1000, template=None))
    first, _, second = scored.instruction.partition(" → ")
    assert second
    assert not scored.color or scored.color not in first
    assert scored.outcome.success


def test_a_success_before_the_switch_does_not_end_the_episode() -> None:
    evaluator = Evaluator(replace(SETTINGS, switch_s=6.0))
    scored = evaluator.run(Job(task="open_drawer", seed=1000, template=None))
    assert scored.color
    assert scored.outcome.success


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--through-ros --disturb light", "--disturb: only in process"),
        ("--robot a.yaml b.yaml", "--robot: several only with --through-ros"),
        ("--through-ros --robot a/x.yaml b/x.yaml", "two files have the same name"),
        ("--through-ros --switch", "--switch: only in process"),
        ("--shuffled --switch 1", "--shuffled and --switch both change the words"),
        ("--policy expert --shuffled", "the expert reads the simulator's state, no words"),
        ("--switch 20", "--switch: 20.0 s; valid: from 0 to below 15 s"),
        ("--disturb light,fog", "disturbance 'fog' is unknown; valid: light, colors"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["evaluate", *words.split()]) == cli.EXIT_ERROR
    assert message in capsys.readouterr().err


def test_the_same_scenes_are_played_disturbed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        f"evaluate --policy expert --tasks close_drawer --episodes 1 --jobs 1 --no-random "
        f"--disturb delay --json {tmp_path / 'out.json'} --report {tmp_path / 'report'}"
    )
    assert cli.main(words.split()) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    plain, late = result["episodes"][0], result["disturbed"]["delay"]["episodes"][0]
    assert late["seed"] == plain["seed"]
    assert late["time_s"] != plain["time_s"]
    assert "delay" in capsys.readouterr().out
    assert (tmp_path / "report" / "index.html").is_file()
