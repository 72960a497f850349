"""Variants of a training: what is trained, what is asked, what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from toy_data import toy_dataset

from vla_ros import cli
from vla_ros.errors import ParameterError
from vla_ros.learn.ablate import read_variants, table
from vla_ros.learn.train_options import read_options
from vla_ros.learn.training import Training
from vla_ros.policy.checkpoint import read_checkpoint
from vla_ros.robot_config import load_robot
from vla_ros.share import share_path


def test_variants_are_trained_evaluated_and_not_done_twice(tmp_path: Path, capfd) -> None:
    variants = tmp_path / "variants.yaml"
    base = {"preset": "tiny", "samples": 8, "batch": 4, "tasks": ["pick_object", "push_object"]}
    changes = {"diffusion head": {"head": "diffusion"}}
    variants.write_text(yaml.safe_dump({"base": base, "variants": changes}))
    data, out, result = tmp_path / "data", tmp_path / "out", tmp_path / "table.json"
    assert cli.main(f"collect --out {data} --jobs 1 --episodes 4".split()) == 0
    command = f"ablate --variants {variants} --data {data} --out {out} --seeds 1 --first-seed 3"
    command += " --episodes 1 --jobs 1"
    assert cli.main([*command.split(), "--json", str(result)]) == 0
    first = capfd.readouterr().out
    assert read_checkpoint(out / "diffusion_head_3").model.action_head == "diffusion"
    found = json.loads(result.read_text())
    assert found["seeds"] == [3]
    assert found["results"]["diffusion head"]["new pairs"]["episodes"] == 2
    assert found["variants"]["diffusion head"]["samples"] == 8
    lines = first.splitlines()[-2:]
    assert lines[0].split("  ")[0] == "variant"
    assert lines[1].startswith("diffusion head  ")
    weights = {path: path.stat().st_mtime_ns for path in out.glob("*/model.safetensors")}
    assert cli.main(command.split()) == 0
    assert capfd.readouterr().out.splitlines() == lines
    assert weights == {path: path.stat().st_mtime_ns for path in weights}


def test_a_finished_training_is_not_shown_under_other_options(tmp_path: Path, capsys) -> None:
    robot = load_robot(share_path("config/panda.yaml"))
    options = {"preset": "tiny", "samples": 8, "batch": 4}
    out = tmp_path / "out"
    folder = out / "base_0"
    folder.mkdir(parents=True)
    given = read_options(None, {**options, "data": "toy", "seed": 0})
    Training(given, folder, toy_dataset(robot), robot).save(finished=True)
    (folder / "finished").touch()
    for question in ("success", "new_wordings", "new_pairs"):
        (folder / f"{question}_1000_1.json").write_text('{"episodes": [{"success": true}]}')
    variants = tmp_path / "variants.yaml"
    variants.write_text(yaml.safe_dump({"base": options, "variants": {"base": {}}}))
    command = f"ablate --variants {variants} --out {out} --seeds 1 --episodes 1 --data".split()
    assert cli.main([*command, "here/toy"]) == 0
    assert "base  100.0%" in capsys.readouterr().out
    assert cli.main([*command, "toy", "--samples", "16"]) == 2
    assert "samples is 16, the training in" in capsys.readouterr().err
    assert cli.main([*command, "other"]) == 2
    assert "data is other, the training in" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_interrupted_is_given_the_time_to_save(
    tmp_path: Path, number: signal.Signals
) -> None:
    child = tmp_path / "child"
    child.write_text(
        "#!/bin/sh\ntrap 'sleep 1; echo saved; exit 130' INT TERM\n"
        "echo begun; for _ in $(seq 200); do sleep 0.1; done\n"
    )
    child.chmod(0o700)
    code = f"""
import sys
from vla_ros.learn import ablate
sys.executable = {str(child)!r}
try:
    ablate._run(["train"])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "begun\n"
        if number == signal.SIGINT:
            os.killpg(command.pid, number)  # as a terminal does
        else:
            command.send_signal(number)
        assert command.stdout.read() == "saved\ninterrupted\n"


def test_the_shipped_variants_are_options_of_train() -> None:
    variants = read_variants(share_path("config/train/ablations.yaml"))
    assert {"diffusion head", "contrastive loss", "no augmentation"} < set(variants)
    assert variants["base"]["lr"] == 8e-4


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("base: {}", "it must have `base` and `variants`"),
        ("{base: {}, variants: {one: null}}", "it must have `base` and `variants`"),
        ("{base: {}, variants: {}}", "it must have `base` and `variants`"),
        ("{base: {}, variants: {1: {}}}", "it must have `base` and `variants`"),
        ("{base: {}, variants: {one: {learning_rate: 1}}}", "unknown: learning_rate; valid"),
        ("{base: {lr: -1}, variants: {one: {}}}", "lr is -1, it must be a number above 0"),
        ("[", "it cannot be read"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "variants.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=why):
        read_variants(path)


def test_the_table_gives_the_interval_of_all_seeds_together() -> None:
    counts = {"episodes": 200, "successes": 180}
    answers = dict.fromkeys(("success", "new wordings", "new pairs"), counts)
    assert table({"base": answers}).splitlines()[1].count("90.0% (85.1%–93.4%)") == 3
