"""The model: pictures, words and robot state to a chunk of actions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vla_ros.model.blocks import init_weights
from vla_ros.model.config import ModelConfig
from vla_ros.model.decoders import ActionDecoder, DiffusionActionDecoder
from vla_ros.model.fusion import FusionLayer
from vla_ros.model.glimpse import Glimpse
from vla_ros.model.language import LanguageEncoder
from vla_ros.model.pointing import Pointed, Pointer
from vla_ros.model.sentence import SentenceEncoder
from vla_ros.model.tokenizer import PAD
from vla_ros.model.vision import VisionEncoder

# State token and CLS: what the condition reads of the queries.
_READ = 2


class Fused(NamedTuple):
    """What the decoders work from.

    Attributes:
        tokens: State token and fused CLS, shape (B, 2, D).
        condition: Fused CLS, state token, each camera's CLS, the places pointed at and what is
            seen there, side by side, shape (B, K).
        named: By camera that has a pointer: log-probability of where the named object is, over
            the cells of the picture, shape (B, N).
        seen: By camera: CLS of its picture, before any words, shape (B, D).
    """

    tokens: Tensor
    condition: Tensor
    named: tuple[Tensor, ...] = ()
    seen: tuple[Tensor, ...] = ()


class VLAModel(nn.Module):
    """Vision-language-action model; everything in and out is normalised."""

    names_object: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        dim, heads = config.width, config.heads
        self.vision_encoders = nn.ModuleList(
            [
                VisionEncoder(config.image_px, config.patch_px, dim, heads, config.vision_blocks)
                for _ in config.cameras
            ]
        )
        self.pointers = nn.ModuleList(
            [
                Pointer(config.image_px, dim, dim // 2, config.points)
                for _ in config.cameras
                if config.points
            ]
        )
        self.glimpses = nn.ModuleList(
            [
                Glimpse(config.image_px, config.glimpse_px, config.glimpse_dim)
                for _ in config.cameras
                if config.glimpse_px
            ]
        )
        self.language_encoder = build_language_encoder(config)
        names_object = torch.zeros(config.vocab_size, dtype=torch.bool)
        names_object[list(config.object_words)] = True
        self.register_buffer("names_object", names_object, persistent=False)
        self.robot_encoder = nn.Sequential(
            nn.Linear(config.state_features, dim), nn.GELU(), nn.Linear(dim, dim)
        )
        tasks = len(config.task_embedding)
        self.task_embed = nn.Embedding(tasks + 1, dim) if tasks else None
        self.fusion = nn.ModuleList([FusionLayer(dim, heads) for _ in range(config.fusion_layers)])
        self.norm = nn.LayerNorm(dim)
        self.action_decoder = build_decoder(config)
        self.apply(init_weights)

    def forward(
        self, images: Tensor, tokens: Tensor, state: Tensor, task_id: Tensor | None = None
    ) -> Tensor:
        """Return the chunk.

        Args:
            images: float (B, C, 3, H, W) as `vision.to_input` makes them, C as in the config.
            tokens: int64 (B, L), CLS first, padded.
            state: Normalised state features, shape (B, F).
            task_id: int64 (B,): number of the kind of task in the config's `task_embedding`, from
                1 on, 0 where it is not told; `None` tells none.

        Returns:
            Normalised chunk, shape (B, T, A).
        """
        fused = self.fuse(images, *self.encode_text(tokens), state, task_id)
        chunk: Tensor = self.action_decoder(fused.condition)
        return chunk

    def encode_text(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Encode instructions (B, L) once; give both results to `act` as often as needed.

        Columns that are padding in every row are cut: it changes no result.

        Returns:
            Features (B, L, D) and the mask (B, L), true where there is a word. A model with
            `object_words` has a CLS that heard them in front, and all the rest did not.
        """
        used = (tokens != PAD).any(dim=0).nonzero()
        tokens = tokens[:, : int(used.max()) + 1]
        if not self.config.object_words:
            features, mask = self.language_encoder(tokens)
            return features, mask
        hidden = self.language_encoder.unknown_id
        nameless = tokens.masked_fill(self.names_object[tokens], hidden)
        features, mask = self.language_encoder(torch.cat([tokens, nameless]))
        (heard, features), mask = features.chunk(2), mask[: len(tokens)]
        return torch.cat([heard[:, :1], features], dim=1), torch.cat([mask[:, :1], mask], dim=1)

    def act(self, images: Tensor, text_features: Tensor, mask: Tensor, state: Tensor) -> Tensor:
        """As `forward`, with the text already encoded and no task told."""
        chunk: Tensor = self.action_decoder(self.fuse(images, text_features, mask, state).condition)
        return chunk

    def fuse(
        self,
        images: Tensor,
        text_features: Tensor,
        mask: Tensor,
        state: Tensor,
        task_id: Tensor | None = None,
    ) -> Fused:
        """Let words and state look at the pictures; `act` and training decode the result."""
        looking = self._before_last(images, text_features, mask, state, task_id)
        seen, pointed = looking.seen, looking.pointed
        # The words were heard by then: computing what becomes of them would change nothing.
        queries = self.norm(
            self.fusion[-1](torch.cat(seen, dim=1), looking.queries, looking.mask, _READ)
        )
        alone = tuple(tokens[:, 0] for tokens in seen)
        heads = [queries[:, 1], queries[:, 0], *alone]
        places = [one.places.flatten(1) for one in pointed]
        there = [
            look(images[:, i], pointed[i].places[:, 0]) for i, look in enumerate(self.glimpses)
        ]
        condition = torch.cat([*heads, *places, *there], dim=-1)
        named = tuple(one.named for one in pointed)
        return Fused(tokens=queries, condition=condition, named=named, seen=alone)

    def attention(
        self, images: Tensor, text_features: Tensor, mask: Tensor, state: Tensor
    ) -> Tensor:
        """Where the words look in each picture; inputs as those of `fuse`.

        A model with pointers points at what the words name. Without, it is the attention of the
        fused CLS in the last layer, mean of the heads, to the patches alone.

        Returns:
            Shares of the cells of each picture, sum 1, shape (B, C, N), row by row.
        """
        looking = self._before_last(images, text_features, mask, state)
        if looking.pointed:
            return torch.stack([one.named.exp() for one in looking.pointed], dim=1)
        last, vision = self.fusion[-1], torch.cat(looking.seen, dim=1)
        assert isinstance(last, FusionLayer)
        weights = last.weights(vision, looking.queries, looking.mask, _READ)
        # (B, heads, 2, C * (N + 1)): the fused CLS is the second query
        patches = weights[:, :, 1].mean(dim=1).view(len(state), len(looking.seen), -1)[..., 1:]
        shares: Tensor = patches / patches.sum(dim=-1, keepdim=True)
        return shares

    def _before_last(
        self,
        images: Tensor,
        text_features: Tensor,
        mask: Tensor,
        state: Tensor,
        task_id: Tensor | None = None,
    ) -> _Looking:
        """Encode, and compute all layers of the fusion but the last."""
        seen = [encode(images[:, i]) for i, encode in enumerate(self.vision_encoders)]
        vision = torch.cat(seen, dim=1)  # (B, C * (N + 1), D)
        pointed = [
            point(images[:, i], text_features[:, 0]) for i, point in enumerate(self.pointers)
        ]
        if self.config.object_words:
            text_features, mask = text_features[:, 1:], mask[:, 1:]
        robot = self._robot_token(state, task_id)
        queries = torch.cat(
            [robot[:, None], text_features, *(one.token[:, None] for one in pointed)], dim=1
        )
        rows = mask.shape[0]  # len() would be a constant in an export
        here, there = mask.new_ones(rows, 1), mask.new_ones(rows, len(pointed))
        mask = torch.cat([here, mask, there], dim=1)
        for layer in self.fusion[:-1]:
            queries = layer(vision, queries, mask)
        return _Looking(seen=seen, pointed=pointed, queries=queries, mask=mask)

    def _robot_token(self, state: Tensor, task_id: Tensor | None) -> Tensor:
        """State token (B, D); what kind of task it is goes with it, for models that are told."""
        robot: Tensor = self.robot_encoder(state)
        if self.task_embed is None:
            return robot
        told: Tensor = self.task_embed.weight[0] if task_id is None else self.task_embed(task_id)
        return robot + told


class _Looking(NamedTuple):
    """Before the last layer: tokens of each camera, what is pointed at, queries and their mask."""

    seen: list[Tensor]
    pointed: list[Pointed]
    queries: Tensor
    mask: Tensor


def build_language_encoder(config: ModelConfig) -> LanguageEncoder | SentenceEncoder:
    """The encoder of words that the configuration names."""
    if config.text_encoder == "sentence":
        return SentenceEncoder(config.width)
    return LanguageEncoder(
        config.vocab_size, config.width, config.max_len, config.heads, config.language_blocks
    )


def build_decoder(config: ModelConfig) -> ActionDecoder | DiffusionActionDecoder:
    """The decoder that the configuration names."""
    sizes = (config.condition_dim, config.action_dim, config.horizon, 2 * config.width)
    match config.action_head:
        case "diffusion":
            return DiffusionActionDecoder(*sizes, delay_steps=config.rtc_delay_steps)
        case _:
            return ActionDecoder(*sizes, delay_steps=config.rtc_delay_steps)
