"""Objectives against what they mean."""

from __future__ import annotations

import math

import torch

from vla_ros.model.losses import behavior_cloning_loss, contrastive_loss, pointing_loss
from vla_ros.model.pointing import cell_centers


def test_masked_steps_do_not_count() -> None:
    expert, predicted = torch.zeros(2, 4, 3), torch.ones(2, 4, 3)
    predicted[:, 2:] = 1e6
    valid = torch.tensor([[True, True, False, False]] * 2)
    assert behavior_cloning_loss(predicted, expert, valid).item() == 1


def test_a_batch_without_valid_steps_costs_nothing() -> None:
    valid = torch.zeros(2, 4, dtype=torch.bool)
    assert behavior_cloning_loss(torch.ones(2, 4, 3), torch.zeros(2, 4, 3), valid).item() == 0


def test_contrastive_loss_rewards_matching_pairs() -> None:
    features = torch.eye(6)
    assert contrastive_loss(features, features).item() < 1e-4
    assert contrastive_loss(features, features.roll(1, 0)).item() > 10


def test_contrastive_loss_of_equal_features_is_chance() -> None:
    same = torch.ones(5, 3)
    torch.testing.assert_close(contrastive_loss(same, same).item(), math.log(5))


def test_contrastive_loss_goes_both_ways() -> None:
    generator = torch.Generator().manual_seed(0)
    vision, language = torch.randn(2, 6, 4, generator=generator)
    torch.testing.assert_close(
        contrastive_loss(vision, language), contrastive_loss(language, vision)
    )


def test_pairs_of_the_same_instruction_are_no_negatives() -> None:
    """Two pictures of one instruction: each finds its text, though the texts are equal."""
    vision, language = torch.eye(4), torch.eye(4)[[0, 0, 2, 3]]
    vision = vision[[0, 0, 2, 3]]
    instruction = torch.tensor([7, 7, 2, 3])
    assert contrastive_loss(vision, language, instruction).item() < 1e-4
    assert contrastive_loss(vision, language).item() > 0.3


def test_pointing_at_the_named_object_costs_least_and_the_unseen_nothing() -> None:
    target_uv = torch.tensor([[0.3, -0.7]])
    (cell,) = (cell_centers(8) - target_uv).norm(dim=1).argsort()[:1].tolist()

    def loss(at: int, target_uv: torch.Tensor) -> float:
        logits = torch.zeros(1, 64)
        logits[0, at] = 4.0
        return pointing_loss(logits.log_softmax(dim=-1), target_uv).item()

    costs = [loss(at, target_uv) for at in range(64)]
    assert min(range(64), key=costs.__getitem__) == cell
    assert costs[cell] < costs[cell + 1] < costs[cell + 3]
    assert loss(cell, torch.tensor([[0.3, -1.2]])) == 0
    assert loss(cell, torch.tensor([[float("nan"), 0.0]])) == 0
