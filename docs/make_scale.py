"""Write the table of docs/scale.md from the memory formula of `comal plan`: `make docs`; a test makes it again."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import transformers

from comal.pipeline.cost.memory import Memory, memory
from comal.pipeline.cost.model_size import ModelSize, known_size
from comal.recipes.load import load_recipe

PAGE = Path(__file__).with_name("scale.md")
BEGIN, END = "<!-- made by docs/make_scale.py -->\n", "<!-- end -->"
RECIPE = "one-gpu-7b"
COMMON = (
    "policy.max_prompt_tokens=1024", "policy.max_new_tokens=1024", "sampling.samples=4", "sampling.batch_size=32",
    "training.prompts_per_batch=1", "training.gradient_accumulation=64",
)  # fmt: skip
GPUS = (24, 48, 80, 141)
"""Gigabytes of the cards that a row is held against."""


def llama(hidden: int, inner: int, layers: int, heads: int) -> transformers.PretrainedConfig:
    """Llama 3's, at the width given."""
    return transformers.LlamaConfig(
        vocab_size=128_256, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=8, tie_word_embeddings=False, max_position_embeddings=8192,
        architectures=["LlamaForCausalLM"],
    )  # fmt: skip


def models() -> Mapping[str, transformers.PretrainedConfig]:
    """Shapes as their publishers give them: Qwen2.5-1.5B, Llama 3 8B and 70B."""
    small = transformers.Qwen2Config(
        vocab_size=151_936, hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12,
        num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=8192,
        architectures=["Qwen2ForCausalLM"],
    )  # fmt: skip
    return {"1.5B": small, "8B": llama(4096, 14336, 32, 32), "70B": llama(8192, 28672, 80, 64)}


@dataclass(frozen=True)
class Way:
    """A way to train.

    Attributes:
        name: in words.
        settings: of the recipe.
        devices: how many share a model, or 1.
    """

    name: str
    settings: tuple[str, ...]
    devices: int = 1


WHOLE = ("policy.lora=null", "policy.dtype=float32", "training.arguments.activation_checkpointing=true")
LORA = ("policy.lora.r=16", "training.arguments.activation_checkpointing=true")
BITS = "policy.quantization_config.load_in_4bit=true"
WAYS = (
    Way("whole, float32", WHOLE),
    *(
        Way(f"whole, float32, {n} shards", (*WHOLE, "training.arguments.fsdp=true"), n)
        for n in (8, 64)
    ),
    Way("LoRA on bfloat16", LORA),
    Way("LoRA on 4 bits", (*LORA, BITS)),
)  # fmt: skip


def size(config: transformers.PretrainedConfig, folder: Path, way: Way) -> tuple[Memory, ModelSize]:
    """What `comal plan` says of a model of this configuration."""
    config.save_pretrained(folder)
    recipe = load_recipe(RECIPE, [*COMMON, f"policy.model={folder}", *way.settings])
    found = known_size(recipe.policy)
    assert found is not None
    return memory(recipe, found, way.devices), found


def row(name: str, way: Way, config: transformers.PretrainedConfig) -> str:
    """One line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        needed, found = size(config, Path(folder), way)
    fits = next((f"{card} GB" for card in GPUS if needed.peak <= 0.9 * card * 1e9), "none of these")
    cells = [
        f"{name} ({found.parameters / 1e9:.2f}B)", way.name, _gib(needed.static.weights), _gib(needed.sampling),
        _gib(needed.training), _gib(needed.peak), fits,
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def table(names: Sequence[str] = ("1.5B", "8B", "70B")) -> str:
    """The table of these models."""
    head = "| model | trained | weights | while it samples and scores | while it trains | most | smallest card |"
    shapes = models()
    lines = [head, "|---|---|--:|--:|--:|--:|---|"]
    lines += [row(name, way, shapes[name]) for name in names for way in WAYS]
    return "\n".join(lines) + "\n"


def _gib(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB"


def main(arguments: Sequence[str] | None = None) -> None:
    """Put the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", nargs="?", type=Path, default=PAGE)
    page = parser.parse_args(arguments).page
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(before + BEGIN + table() + END + after, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
