"""The other side of `lerobot_interop.py`: runs with the public lerobot package, not with vla_ros.

lerobot_side.py save KIND FOLDER    save a small policy with random weights, as lerobot-train does
lerobot_side.py plan FOLDER         plan with it, by LeRobot alone; JSON on standard output
"""

import json
import sys

import lerobot
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
from lerobot.policies.factory import make_pre_post_processors
from lerobot.policies.utils import prepare_observation_for_inference
from lerobot_observation import ENTRIES, IMAGES, MEAN, STD, WORDS, observation


def save(kind, folder):
    torch.manual_seed(0)
    # "bare": saved without the statistics of a dataset.
    policy = {"act": _act, "bare": _act, "diffusion": _diffusion}[kind]()
    statistics = None if kind == "bare" else _statistics()
    policy.save_pretrained(folder)
    for processor in make_pre_post_processors(policy.config, dataset_stats=statistics):
        processor.save_pretrained(folder)


def plan(folder):
    policy = ACTPolicy.from_pretrained(folder)
    before, after = make_pre_post_processors(policy.config, pretrained_path=folder)
    asked = prepare_observation_for_inference(observation(), torch.device("cpu"), WORDS)
    with torch.inference_mode():
        chunk = policy.predict_action_chunk(before(asked))
        steps = [after(chunk[:, i]) for i in range(chunk.shape[1])]
    said = {"actions": torch.cat(steps).tolist(), "lerobot": lerobot.__version__}
    print(json.dumps(said | {"torch": torch.__version__}))


def _act():
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


def _diffusion():
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
    {"save": save, "plan": plan}[sys.argv[1]](*sys.argv[2:])
