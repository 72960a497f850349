"""A vision-language model for SmolVLA: its architecture with random weights and a few words.

The public one has half a billion weights; SmolVLA takes shape, words and pictures' size from it.
"""

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
)
from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

PIXELS = 96
_PATCH, _SHUFFLE = 16, 2
_SPECIAL = {
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "bos_token": "<s>",
    "eos_token": "</s>",
}
_PICTURE = {
    "image_token": "<image>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
}


def save_small_vlm(folder, words):
    """Write configuration and processor, as of a model of the Hub; the weights are the policy's."""
    tokenizer = _tokenizer(words)
    SmolVLMProcessor(
        SmolVLMImageProcessor(),
        tokenizer,
        SmolVLMVideoProcessor(size={"longest_edge": PIXELS}),
        image_seq_len=(PIXELS // _PATCH // _SHUFFLE) ** 2,
    ).save_pretrained(folder)
    heads = {"num_hidden_layers": 2, "num_attention_heads": 4}
    SmolVLMConfig(
        image_token_id=tokenizer.image_token_id,
        pad_token_id=tokenizer.pad_token_id,
        scale_factor=_SHUFFLE,
        text_config={
            **heads,
            "model_type": "llama",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "vocab_size": len(tokenizer),
        },
        vision_config={
            **heads,
            "hidden_size": 32,
            "intermediate_size": 64,
            "image_size": PIXELS,
            "patch_size": _PATCH,
        },
    ).save_pretrained(folder)
    return folder


def _tokenizer(words):
    known = [*_SPECIAL.values(), *_PICTURE.values(), *words.split(), "\n"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(known)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **_SPECIAL, extra_special_tokens=_PICTURE
    )
