"""Variants of a training: what is trained, what is asked, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from vla_ros import cli
from vla_ros.errors import ParameterError
from vla_ros.learn.ablate import read_variants, table
from vla_ros.policy.checkpoint import read_checkpoint
from vla_ros.share import share_path


def test_variants_are_trained_evaluated_and_not_done_twice(tmp_path: Path, capfd) -> None:
    variants = tmp_path / "variants.yaml"
    base = {"preset": "tiny", "samples": 8, "batch": 4}
    changes = {"diffusion head": {"head": "diffusion"}}
    variants.write_text(yaml.safe_dump({"base": base, "variants": changes}))
    data, out, result = tmp_path / "data", tmp_path / "out", tmp_path / "table.json"
    assert cli.main(f"collect --out {data} --jobs 1 --episodes 0 --moments 2".split()) == 0
    command = f"ablate --variants {variants} --data {data} --out {out} --seeds 1 --episodes 1"
    command += " --jobs 1"
    assert cli.main([*command.split(), "--json", str(result)]) == 0
    first = capfd.readouterr().out
    assert read_checkpoint(out / "diffusion_head_0").model.action_head == "diffusion"
    found = json.loads(result.read_text())
    assert found["results"]["diffusion head"]["new pairs"]["episodes"] == 5
    assert found["variants"]["diffusion head"]["samples"] == 8
    lines = first.splitlines()[-2:]
    assert lines[0].split("  ")[0] == "variant"
    assert lines[1].startswith("diffusion head  ")
    weights = {path: path.stat().st_mtime_ns for path in out.glob("*/model.safetensors")}
    assert cli.main(command.split()) == 0
    assert capfd.readouterr().out.splitlines() == lines
    assert weights == {path: path.stat().st_mtime_ns for path in weights}


def test_the_shipped_variants_are_options_of_train() -> None:
    variants = read_variants(share_path("config/train/ablations.yaml"))
    assert {"diffusion head", "contrastive loss", "no augmentation"} < set(variants)
    assert variants["base"]["lr"] == 8e-4


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("base: {}", "it must have `base` and `variants`"),
        ("{base: {}, variants: {one: null}}", "it must have `base` and `variants`"),
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
