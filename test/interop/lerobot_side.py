"""The other side of `lerobot_interop.py`: runs with the public lerobot package, not with vla_ros.

lerobot_side.py save KIND FOLDER    save a small policy with random weights, as lerobot-train does
lerobot_side.py plan FOLDER TIMES   plan with it, by LeRobot alone; JSON on standard output
"""

import json
import sys
from pathlib import Path

import lerobot
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy
from lerobot.policies.utils import prepare_observation_for_inference
from lerobot_observation import ENTRIES, IMAGES, MEAN, STD, WORDS, observation
from small_vlm import PIXELS, save_small_vlm


def save(kind, folder):
    torch.manual_seed(0)
    # "bare": saved without the statistics of a dataset.
    makers = {"act": _act, "bare": _act, "diffusion": _diffusion, "smolvla": _smolvla}
    policy = makers[kind](Path(folder))
    statistics = None if kind == "bare" else _statistics()
    policy.save_pretrained(folder)
    for processor in make_pre_post_processors(policy.config, dataset_stats=statistics):
        processor.save_pretrained(folder)


def plan(folder, times):
    kind = json.loads((Path(folder) / "config.json").read_text())["type"]
    policy = get_policy_class(kind).from_pretrained(folder)
    before, after = make_pre_post_processors(policy.config, pretrained_path=folder)
    asked = prepare_observation_for_inference(observation(), torch.device("cpu"), WORDS)
    chunks = []
    with torch.inference_mode():
        for _ in range(times):
            chunk = policy.predict_action_chunk(before(asked))
            chunks.append(torch.cat([after(chunk[:, i]) for i in range(chunk.shape[1])]).tolist())
    print(f"lerobot {lerobot.__version__} with torch {torch.__version__}", file=sys.stderr)
    print(json.dumps({"chunks": chunks}))


def _act(folder):
    return ACTPolicy(
        ACTConfig(
            **_features(),
            device="cpu",
            chunk_size=20,
            n_action_steps=20,
            pretrained_backbone_weights=None,
            dim_model=64,
            n_heads=4,
            dim_feedforward=128,
            n_encoder_layers=2,
            n_vae_encoder_layers=1,
        )
    )


def _diffusion(folder):
    return DiffusionPolicy(
        DiffusionConfig(
            **_features(),
            device="cpu",
            n_obs_steps=2,
            horizon=16,
            n_action_steps=8,
            down_dims=(32, 64),
            num_inference_steps=4,
            crop_shape=(84, 84),
        )
    )


def _smolvla(folder):
    language = save_small_vlm(folder.with_name(f"{folder.name}_vlm"), WORDS)
    return SmolVLAPolicy(
        SmolVLAConfig(
            **_features(),
            device="cpu",
            chunk_size=20,
            n_action_steps=20,
            vlm_model_name=str(language),
            resize_imgs_with_padding=(PIXELS, PIXELS),
            num_vlm_layers=2,
        )
    )


def _features():
    picture = PolicyFeature(type=FeatureType.VISUAL, shape=(3, 96, 96))
    inputs = dict.fromkeys(IMAGES, picture)
    inputs["observation.state"] = PolicyFeature(type=FeatureType.STATE, shape=(len(ENTRIES),))
    action = PolicyFeature(type=FeatureType.ACTION, shape=(len(ENTRIES),))
    return {"input_features": inputs, "output_features": {"action": action}}


def _statistics():
    numbers = {"mean": MEAN, "std": STD, "min": MEAN - 2 * STD, "max": MEAN + 2 * STD}
    numbers = {name: torch.tensor(values) for name, values in numbers.items()}
    pixels = {"mean": 0.5, "std": 0.25, "min": 0.0, "max": 1.0}
    pixels = {name: torch.full((3, 1, 1), value) for name, value in pixels.items()}
    return {**dict.fromkeys(IMAGES, pixels), "observation.state": numbers, "action": numbers}


if __name__ == "__main__":
    if sys.argv[1] == "save":
        save(*sys.argv[2:])
    else:
        plan(sys.argv[2], int(sys.argv[3]))
