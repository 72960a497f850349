"""Training: the same seed, exact resuming, what is written, what is refused."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_data import EPISODES, LENGTH, TASKS, TOY_OPTIONS, toy_dataset

from vla_ros.errors import CheckpointError, DatasetError, ParameterError
from vla_ros.learn.curves import append_metrics, plot_metrics, read_metrics
from vla_ros.learn.dataset import Dataset
from vla_ros.learn.learner import read_state
from vla_ros.learn.objectives import Objective, Weights
from vla_ros.learn.task_errors import TaskErrors
from vla_ros.learn.train import Limits, train
from vla_ros.learn.train_options import TrainOptions, read_options
from vla_ros.learn.training import Training
from vla_ros.model.tokenizer import CLS
from vla_ros.model.vision import to_input
from vla_ros.policy.check import check_fits
from vla_ros.policy.checkpoint import Weights as NamedWeights
from vla_ros.policy.checkpoint import read_checkpoint, read_weights, write_checkpoint
from vla_ros.policy.vla_policy import VLAPolicy
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.share import share_path

ROBOT_FILE = share_path("config/panda.yaml")
NO_LIMIT = Limits(minutes=None, save_every_minutes=60)


@pytest.fixture(scope="module")
def robot() -> RobotConfig:
    return load_robot(ROBOT_FILE)


@pytest.fixture(scope="module")
def dataset(robot: RobotConfig) -> Dataset:
    return toy_dataset(robot)


def begin(dataset: Dataset, robot: RobotConfig, out: Path, **changes: object) -> Training:
    out.mkdir(exist_ok=True)
    return Training(replace(TOY_OPTIONS, **changes), out, dataset, robot)


def assert_same(one: NamedWeights, other: NamedWeights) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


@pytest.mark.parametrize("head", ["mlp", "diffusion"])
def test_the_same_seed_gives_the_same_weights(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path, head: str
) -> None:
    runs = [begin(dataset, robot, tmp_path, head=head) for _ in range(2)]
    for run in runs:
        torch.manual_seed(np.random.randint(1 << 30))
        for _ in range(4):
            run.step()
    assert_same(runs[0].learner.weights(), runs[1].learner.weights())


def test_another_seed_gives_other_weights(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    runs = [begin(dataset, robot, tmp_path, seed=seed) for seed in (0, 1)]
    name = "norm.weight"
    for run in runs:
        run.step()
    assert (runs[0].learner.weights()[name] != runs[1].learner.weights()[name]).any()


@pytest.mark.parametrize("stop_after", [1, 7])
def test_resuming_equals_never_stopping(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path, stop_after: int
) -> None:
    whole = begin(dataset, robot, tmp_path / "whole")
    assert train(whole, NO_LIMIT) == 0
    first = begin(dataset, robot, tmp_path / "parts")
    for _ in range(stop_after):
        first.step()
    first.save(finished=False)
    second = begin(dataset, robot, tmp_path / "parts")
    second.resume()
    assert second.samples == 8 * stop_after
    assert train(second, NO_LIMIT) == 0
    assert_same(whole.learner.weights(), second.learner.weights())
    for name, value in whole.learner.networks.state_dict().items():
        assert torch.equal(value, second.learner.networks.state_dict()[name]), name


def test_learns_what_the_pictures_tell(robot: RobotConfig, tmp_path: Path) -> None:
    training = begin(toy_dataset(robot, 40), robot, tmp_path, samples=8 * 250, lr=3e-3)
    first = training.validate()
    train(training, NO_LIMIT)
    last = training.validate()
    assert last["validation_action"] < 0.6 * first["validation_action"]
    assert last["validation_target_cm"] < 0.6 * first["validation_target_cm"]


def test_mirrored_and_distorted_data_train_the_same_way_each_time(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    changes = {"mirror": True, "rotate_deg": {"front": 5.0}, "blur_px": {"wrist": 1.0}}
    runs = [begin(dataset, robot, tmp_path, **changes) for _ in range(2)]
    plain = begin(dataset, robot, tmp_path)
    for run in (*runs, plain):
        for _ in range(2):
            run.step()
    assert_same(runs[0].learner.weights(), runs[1].learner.weights())
    name = "norm.weight"
    assert (runs[0].learner.weights()[name] != plain.learner.weights()[name]).any()


def test_pictures_and_words_find_each_other(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    """The pictures show which of two instructions it is, so the loss must fall far below chance."""
    right = np.repeat(np.arange(EPISODES) // 2 % 2, LENGTH)
    told = replace(
        dataset,
        episodes=tuple(
            replace(e, instruction=f"pick the {['red', 'blue'][right[e.start]]}")
            for e in dataset.episodes
        ),
    )
    training = begin(told, robot, tmp_path, contrastive_weight=1.0, lr=3e-3, samples=10**6)
    plain = begin(told, robot, tmp_path)
    assert_same(training.learner.weights(), plain.learner.weights())
    first = np.mean([training.step().contrastive for _ in range(3)])
    for _ in range(100):
        training.step()
    last = np.mean([training.step().contrastive for _ in range(10)])
    assert last < 0.3 * first
    assert np.isnan(plain.step().contrastive)
    training.save(finished=True)
    assert not [name for name in read_weights(tmp_path) if "alignment" in name]


def test_told_tasks_are_heard_and_never_needed(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    """All that tells the tasks apart is their number: words and pictures are made the same."""
    action = dataset.action.copy()
    drawer = np.repeat([e.task == "open_drawer" for e in dataset.episodes], LENGTH)
    action[:, :7] = 0.3 * drawer[:, None]
    same = replace(
        dataset,
        action=action,
        frames={name: np.full_like(f, 99) for name, f in dataset.frames.items()},  # type: ignore
        episodes=tuple(replace(e, instruction="do it") for e in dataset.episodes),
    )
    training = begin(same, robot, tmp_path, task_embedding=True, lr=3e-3, samples=8 * 10**6)
    for _ in range(150):
        training.step()
    training.save(finished=True)
    model = VLAPolicy.load(tmp_path, device="cpu")._model
    assert model.config.task_embedding == ("open_drawer", "pick_object")
    images, tokens = torch.zeros(4, 2, 3, 32, 32), torch.tensor([[CLS, 3, 4]] * 4)
    state = torch.zeros(4, model.config.state_features)
    with torch.no_grad():
        chunk = model(images, tokens, state, torch.tensor([0, 1, 2, 1]))[:, 0, 0]
        untold = model(images, tokens, state)[:, 0, 0]
    assert chunk[1] == chunk[3]
    assert chunk[1] - chunk[2] > 0.5
    torch.testing.assert_close(untold, chunk[[0, 0, 0, 0]])


def test_a_training_of_before_the_options_is_resumed(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    begin(dataset, robot, tmp_path).save(finished=False)
    path = tmp_path / "training_state.pt"
    state = torch.load(path, weights_only=True)
    options = json.loads(state["extra"]["options"])
    names = ("preset", "head", "samples", "batch", "lr", "horizon", "target_weight")
    names += ("pointing_weight", "init", "seed", "data", "robot_file")
    state["extra"]["options"] = json.dumps({name: options[name] for name in names})
    torch.save(state, path)
    begin(dataset, robot, tmp_path).resume()
    with pytest.raises(ParameterError, match="mirror is True, the training in .* has False"):
        begin(dataset, robot, tmp_path, mirror=True).resume()


def test_what_is_written_is_a_policy_for_the_robot(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="vla_ros")
    options = replace(TOY_OPTIONS, horizon=8)
    training = Training(options, tmp_path, dataset, robot, tensorboard=True)
    train(training, NO_LIMIT)
    policy = VLAPolicy.load(tmp_path, device="cpu")
    check_fits(policy.spec, robot)
    assert policy.spec.step_s == 0.05
    story = read_checkpoint(tmp_path).training
    facts = {"data": "toy", "episodes": 10, "rows": 120, "samples_seen": 80, "finished": True}
    assert {key: story[key] for key in facts} == facts
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["samples"] == 80
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    assert lines[-1]["loss"] > 0
    assert lines[-1]["samples_per_s"] > 0
    assert 0 < lines[-1]["data_share"] < 1
    assert re.search(r"finished: .*; in all [\d.]+ samples/s, [\d.]+ % of the time", caplog.text)


def test_the_losses_of_each_task_are_recorded_and_drawn(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    """The drawer's actions are made unlearnable, so its loss must stand out."""
    drawer = np.repeat([e.task == "open_drawer" for e in dataset.episodes], LENGTH)
    noise = np.random.default_rng(0).normal(0, 0.5, dataset.action.shape).astype(np.float32)
    action = dataset.action + drawer[:, None] * noise
    training = begin(replace(dataset, action=action), robot, tmp_path, samples=8 * 200, lr=3e-3)
    train(training, NO_LIMIT)
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert lines[-1]["validation_action_by_task"].keys() <= set(TASKS)
    trained = lines[-1]["action_by_task"]
    assert trained["open_drawer"] > 1.5 * trained["pick_object"]
    pictures = []
    for without in ("", "by_task"):
        some = [
            {k: v for k, v in line.items() if not without or without not in k} for line in lines
        ]
        path = tmp_path / f"{without}.jsonl"
        path.write_text("\n".join(map(json.dumps, some)))
        plot_metrics(path, path.with_suffix(".png"))
        pictures.append(path.with_suffix(".png").read_bytes())
    assert pictures[0] == (tmp_path / "loss.png").read_bytes() != pictures[1]


def test_half_a_line_of_a_killed_training_is_no_line_and_spoils_none(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, {"samples": 64, "action": 0.5})
    with path.open("a") as file:
        file.write('{"samples": 128, "act')
    assert [line["samples"] for line in read_metrics(path)] == [64]
    for samples in (128, 192):
        append_metrics(path, {"samples": samples, "action": 0.4})
    assert [line["samples"] for line in read_metrics(path)] == [64, 128, 192]
    plot_metrics(path, tmp_path / "loss.png")


def test_the_loss_of_the_tasks_adds_up_to_the_batchs(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    training = begin(dataset, robot, tmp_path)
    rows, normalizer = training._rows, training._checkpoint.normalizer
    batch = rows.batch(np.arange(6, 30), normalizer)
    assert not batch.valid.all()
    errors = training.learner.judge(batch)
    gathered = TaskErrors(rows.tasks)
    gathered.add(batch, errors)
    by_task = gathered.take()
    steps = [batch.valid[batch.task == i].sum() for i in range(2)]
    total = sum(by_task[name] * n for name, n in zip(rows.tasks, steps, strict=True)) / sum(steps)
    assert total == pytest.approx(errors.action, abs=1e-4)
    assert gathered.take() == {}


def test_the_exported_weights_are_the_averaged_ones(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    training = begin(dataset, robot, tmp_path)
    train(training, NO_LIMIT)
    raw = training.learner.networks.model.state_dict()["norm.weight"].numpy()
    assert (training.learner.weights()["norm.weight"] != raw).any()


def test_a_signal_stops_between_two_steps_and_saves(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    training = begin(dataset, robot, tmp_path, samples=10**9)
    step = training.step

    def step_then_interrupt(minutes: float | None = None) -> object:
        if training.learner.step == 3:
            signal.raise_signal(signal.SIGINT)
        return step(minutes)

    training.step = step_then_interrupt  # type: ignore[method-assign,assignment]
    assert train(training, NO_LIMIT) == 130
    assert not read_checkpoint(tmp_path).training["finished"]
    again = begin(dataset, robot, tmp_path, samples=10**9)
    again.resume()
    assert again.learner.step == 4


def test_minutes_end_a_training(dataset: Dataset, robot: RobotConfig, tmp_path: Path) -> None:
    training = begin(dataset, robot, tmp_path, samples=10**9)
    assert train(training, Limits(minutes=0.005, save_every_minutes=60)) == 0
    assert 0 < training.samples < 10**6


def test_other_options_are_not_resumed(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    begin(dataset, robot, tmp_path).save(finished=False)
    with pytest.raises(ParameterError) as caught:
        begin(dataset, robot, tmp_path, lr=1e-3, seed=4).resume()
    assert "lr is 0.001, the training in" in str(caught.value)
    assert "seed is 4, the training in" in str(caught.value)


def test_a_training_does_not_go_on_with_other_data(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    begin(dataset, robot, tmp_path).save(finished=False)
    fewer = replace(dataset, episodes=dataset.episodes[:-1])
    with pytest.raises(ParameterError, match="toy has 9 episodes .* had 10 episodes with 120 rows"):
        begin(fewer, robot, tmp_path).resume()
    begin(dataset, robot, tmp_path).resume()


def test_a_training_begins_with_the_checkpoint_it_is_given(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    first = begin(dataset, robot, tmp_path / "first")
    for _ in range(3):
        first.step()
    first.save(finished=True)
    scaled = replace(dataset, action=3 * dataset.action)
    second = begin(scaled, robot, tmp_path / "second", init=tmp_path / "first", seed=3)
    assert_same(first.learner.weights(), second.learner.weights())
    second.step()
    second.save(finished=True)
    one, other = (read_checkpoint(tmp_path / name) for name in ("first", "second"))
    np.testing.assert_allclose(one.normalizer.delta_std, other.normalizer.delta_std)
    assert other.training["init"] == "first"


def test_a_training_that_begins_with_a_checkpoint_learns_new_words(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    begin(dataset, robot, tmp_path / "first").save(finished=True)
    texts = tuple(replace(e, instruction="fling the red") for e in dataset.episodes)
    wordier = replace(dataset, episodes=texts)
    changes = {"init": tmp_path / "first", "object_words": ["red"]}
    second = begin(wordier, robot, tmp_path / "second", **changes)
    second.step()
    second.save(finished=True)
    one, other = (read_checkpoint(tmp_path / name) for name in ("first", "second"))
    known = one.tokenizer.vocabulary
    assert other.tokenizer.vocabulary == (*known, "fling")
    assert other.model.object_words == (known.index("red"),)
    name = "language_encoder.token_embed.weight"
    before, after = (read_weights(tmp_path / run)[name] for run in ("first", "second"))
    np.testing.assert_allclose(after[: len(known)], before, atol=1e-4)
    VLAPolicy.load(tmp_path / "second", device="cpu")


def test_a_glimpse_that_is_begun_with_changes_nothing_at_first(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    first = begin(dataset, robot, tmp_path / "first")
    first.save(finished=True)
    changes = {"init": tmp_path / "first", "glimpse_px": 8}
    second = begin(dataset, robot, tmp_path / "second", **changes)
    images = torch.rand(2, 2, 3, 32, 32)
    tokens, state = torch.tensor([[CLS, 4, 5]] * 2), torch.zeros(2, 17)
    chunks = [one.learner.average.model(images, tokens, state) for one in (first, second)]
    torch.testing.assert_close(*chunks)
    second.step()
    second.save(finished=True)
    assert VLAPolicy.load(tmp_path / "second", device="cpu") is not None
    with pytest.raises(ParameterError, match="glimpse_px is 8 in the checkpoint, .* want 16"):
        begin(dataset, robot, tmp_path / "third", init=tmp_path / "second", glimpse_px=16)


@pytest.mark.parametrize("changes", [{"head": "diffusion"}, {"rtc_delay_steps": 2}])
def test_a_glimpse_cannot_be_begun_with_before_what_a_decoder_hears_last(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path, changes: dict[str, object]
) -> None:
    begin(dataset, robot, tmp_path / "first", **changes).save(finished=True)
    changes |= {"init": tmp_path / "first", "glimpse_px": 8}
    with pytest.raises(ParameterError, match="glimpse_px can be begun with for an mlp head"):
        begin(dataset, robot, tmp_path / "second", **changes)


def test_object_words_must_be_words_of_the_data(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match="no instruction of the data has the words mauve"):
        begin(dataset, robot, tmp_path, object_words=["red", "mauve"])
    with pytest.raises(ParameterError, match="object_words is 'red', it must be a list of words"):
        replace(TOY_OPTIONS, object_words="red")


def test_tasks_that_are_not_named_are_not_trained_on(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    run = begin(dataset, robot, tmp_path / "some", tasks=["open_drawer"])
    train(run, NO_LIMIT)
    last = read_metrics(tmp_path / "some" / "metrics.jsonl")[-1]
    assert set(last["action_by_task"]) == {"open_drawer"}
    assert set(last["validation_action_by_task"]) == {"open_drawer"}
    story = read_checkpoint(tmp_path / "some").training
    chosen = [episode for episode in dataset.episodes if episode.task == "open_drawer"]
    assert (story["episodes"], story["rows"]) == (len(chosen), len(chosen) * LENGTH)
    words = set(read_checkpoint(tmp_path / "some").tokenizer.vocabulary)
    assert "drawer" in words
    assert not words & {"pick", "red", "blue"}, "words that were never trained are not known"
    with pytest.raises(ParameterError, match="no sweep; it has open_drawer, pick_object"):
        begin(dataset, robot, tmp_path / "other", tasks=["sweep"])
    with pytest.raises(ParameterError, match="tasks is 'sweep', it must be a list of words"):
        replace(TOY_OPTIONS, tasks="sweep")


def test_a_checkpoint_of_another_kind_is_no_beginning(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    begin(dataset, robot, tmp_path / "first").save(finished=True)
    slower = replace(dataset, fps=10.0)
    with pytest.raises(ParameterError) as caught:
        begin(slower, robot, tmp_path / "second", init=tmp_path / "first", horizon=6)
    assert "model.horizon is 4 in the checkpoint, the data and the options want 6" in str(
        caught.value
    )
    assert "spec.step_s is 0.05 in the checkpoint" in str(caught.value)


def test_weights_of_another_model_are_refused(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    first = begin(dataset, robot, tmp_path / "first")
    first.save(finished=False)
    config, weights = read_checkpoint(tmp_path / "first"), read_weights(tmp_path / "first")
    renamed = {name.replace("action_head", "head"): value for name, value in weights.items()}
    write_checkpoint(tmp_path / "first", config, renamed)
    with pytest.raises(CheckpointError, match="(?s)do not fit this model: .*action_head"):
        begin(dataset, robot, tmp_path / "second", init=tmp_path / "first")
    state = read_state(tmp_path / "first" / "training_state.pt")
    state["networks"].popitem()
    with pytest.raises(CheckpointError, match="(?s)the training state is of another model"):
        first.learner.restore(state)


def test_a_corrupt_training_state_is_refused(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    begin(dataset, robot, tmp_path).save(finished=False)
    path = tmp_path / "training_state.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="training_state.pt cannot be read"):
        begin(dataset, robot, tmp_path).resume()


def test_data_of_another_robot_is_refused(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="recorded with robot 'ur5e', .* describes 'panda'"):
        begin(replace(dataset, robot="ur5e"), robot, tmp_path)


def test_data_with_other_joints_is_refused(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    names = robot.action_names[::-1]
    with pytest.raises(DatasetError, match="dataset's actions are gripper, panda_joint7"):
        begin(replace(dataset, action_names=names), robot, tmp_path)


def test_mixed_precision_on_a_cpu_is_refused(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match="precision is 'bf16', the device is cpu"):
        begin(dataset, robot, tmp_path, precision="bf16")


def test_mixed_precision_is_near_and_keeps_fp32_weights(
    dataset: Dataset, robot: RobotConfig, tmp_path: Path
) -> None:
    """On the CPU, where only tests compute so."""
    training = begin(dataset, robot, tmp_path, contrastive_weight=0.1)
    batch = training._rows.batch(np.arange(16), training._checkpoint.normalizer)
    images, networks = to_input(torch.from_numpy(batch.pixels)), training.learner.networks
    weights = Weights(target=0.3, pointing=0.1, contrastive=0.1)
    losses = []
    for mixed in (False, True):
        objective = Objective(weights, torch.device("cpu"), mixed=mixed)
        loss, _ = objective(networks, images, batch, torch.Generator().manual_seed(0))
        loss.backward()
        losses.append(loss.item())
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.02)
    assert {p.grad.dtype for p in networks.parameters() if p.grad is not None} == {torch.float32}


def test_wrong_options_are_told_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        replace(TOY_OPTIONS, samples=0, lr=-1.0, target_weight=-0.1)
    assert len(caught.value.problems) == 3


def test_options_of_a_file_and_of_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("data: toy\nlr: 8e-4\nhorizon: 10\npreset: tiny\n")
    options = read_options(path, {"horizon": 6, "preset": None, "out": Path("elsewhere")})
    assert options == TrainOptions(
        data=Path("toy"), robot_file=ROBOT_FILE, lr=8e-4, horizon=6, preset="tiny"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "data: toy\nlearning_rate: 1.0",
            "unknown: learning_rate; valid: data, ",
        ),
        ("data: toy\nlr: fast\nbatch: 1.5", "batch is 1.5, it must be a whole number from 1"),
        ("data: toy\nlr: fast\nbatch: 1.5", "lr is 'fast', it must be a number above 0"),
        ("data: toy\npreset: huge", "preset is 'huge'; valid: base, small, tiny"),
        ("lr: 0.1", "--data is missing"),
        ("data: 20240101", "data is 20240101, it must be a path; put a number in quotes"),
        ("data: null", "--data is missing"),
        ("data: toy\npreset: [small]", "preset is ['small']; valid: base, small, tiny"),
        ("data: toy\n1: small", "unknown: 1; valid: data, "),
        ("- lr", "it must hold options by name, got list"),
        ("data: [", "it cannot be read"),
    ],
)
def test_a_wrong_file_of_options_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        read_options(path, {})
    assert told in str(caught.value)
