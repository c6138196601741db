"""A folder's weights are the model's, all of them, or there is one message: never random numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import stores
import tiny_models
from comal.errors import ComalError, JudgeError, PolicyError
from comal.judges.words import models as judge_models
from comal.policies.base import Prompt

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

Weights = dict[str, torch.Tensor]


def prefixed(prefix: str) -> Any:
    return lambda weights: {prefix + key: tensor for key, tensor in weights.items()}


DAMAGE = {
    "DistributedDataParallel": (prefixed("module."), r"no weights for .*module\.model\..*DistributedDataParallel"),
    "torch.compile": (prefixed("_orig_mod."), r"no weights for .*_orig_mod\..*torch\.compile"),
    "PEFT": (prefixed("base_model.model."), r"no weights for .*base_model\.model\..*in PEFT"),
    "FSDP": (prefixed("_fsdp_wrapped_module."), r"no weights for .*in FSDP"),
    "a layer missing": (
        lambda w: {k: v for k, v in w.items() if "layers.1." not in k},
        r"no weights for model\.layers\.1\.input_layernorm\.weight, .* and 6 more",
    ),
    "one tensor missing": (
        lambda w: {k: v for k, v in w.items() if k != "model.norm.weight"},
        r"no weights for model\.norm\.weight",
    ),
    "too much": (lambda w: w | {"score.weight": torch.zeros(1, 64)}, r"does not have: score\.weight"),
    "another shape": (
        lambda w: w | {"model.embed_tokens.weight": w["model.embed_tokens.weight"][:300]},
        r"another shape: model\.embed_tokens\.weight \(300×64 instead of 320×64\)",
    ),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_models.save_causal_lm(tmp_path_factory.mktemp("base"), initializer_range=0.2)


def damaged(base: str, folder: Path, damage: Any) -> str:
    shutil.copytree(base, folder)
    save_file(
        {k: v.contiguous() for k, v in damage(load_file(folder / "model.safetensors")).items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    return str(folder)


@pytest.mark.parametrize("name", DAMAGE)
def test_weights_that_do_not_fit_are_one_message_for_policies_and_judges(base: str, tmp_path: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    folder = damaged(base, tmp_path / "m", damage)
    with pytest.raises(PolicyError, match=message):
        stores.store(folder).open(folder)
    with pytest.raises(JudgeError, match=message):
        judge_models.load("judge", "causal-lm", folder, None, "auto", "cpu")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", b""),
        ("config.json", b"{"),
        ("config.json", b'{"model_type": "no-such-model"}'),
    ],
)
def test_files_that_are_none_of_a_model_are_one_message(base: str, tmp_path: Path, file: str, content: bytes) -> None:
    folder = tmp_path / "m"
    shutil.copytree(base, folder)
    (folder / file).write_bytes(content)
    with pytest.raises(ComalError, match="cannot load"):
        stores.store(str(folder)).open(str(folder))


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin", "tokenizer.json"])
def test_a_pointer_of_git_lfs_is_named(base: str, tmp_path: Path, file: str) -> None:
    shutil.copytree(base, tmp_path / "m")
    if file == "pytorch_model.bin":
        (tmp_path / "m" / "model.safetensors").unlink()
    (tmp_path / "m" / file).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(PolicyError, match=rf"cannot load .*its {file} is a Git LFS pointer.*git lfs pull"):
        stores.store(str(tmp_path / "m")).open(tmp_path / "m")


def test_a_bin_file_that_holds_more_than_weights_is_not_run(base: str, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    torch.save({"a": Path("/")}, tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(PolicyError, match=r"its \.bin file is torn, or holds more than weights"):
        stores.store(str(tmp_path / "m")).open(tmp_path / "m")


def adapter(base: str, folder: Path, **options: Any) -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
        model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    model.save_pretrained(folder)
    found: dict[str, torch.Tensor] = load_file(folder / "adapter_model.safetensors")
    return found


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda w: {k: v for k, v in w.items() if "layers.1." not in k}, r"no weights for .*layers\.1\."),
        (lambda w: w | {"base_model.model.model.other.lora_A.weight": torch.zeros(4, 64)}, r"does not have: .*other"),
        (lambda w: {k: v[..., :-1].contiguous() for k, v in w.items()}, "does not fit its model"),
    ],
)
def test_an_adapter_that_does_not_fit_is_one_message(base: str, tmp_path: Path, damage: Any, message: str) -> None:
    folder = tmp_path / "adapter"
    weights = damage(adapter(base, folder))
    save_file(weights, folder / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(PolicyError, match=message):
        stores.store(base, adapter=folder).open(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "cannot be used: .*Git LFS pointer"),
        (b"\x08\0\0\0\0\0\0\0{}", "cannot be used: .*header"),
        (b"", "cannot be used: "),
        (None, r"cannot be used: there is no adapter_model\.safetensors in it"),
    ],
)
def test_an_adapters_file_that_is_none_is_one_message(
    base: str, tmp_path: Path, content: bytes | None, said: str
) -> None:
    adapter(base, tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(PolicyError, match=said):
        stores.store(base, adapter=tmp_path).open(tmp_path)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4), "PROMPT_TUNING puts tokens of its own"),
        (peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4), "PREFIX_TUNING puts tokens of its own"),
        (peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="SEQ_CLS"), "it was trained for SEQ_CLS"),
    ],
)
def test_an_adapter_that_is_none_of_a_policys_weights_is_refused(
    base: str, tmp_path: Path, config: Any, said: str
) -> None:
    with torch.random.fork_rng():
        peft.PeftModel(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(tmp_path)
    with pytest.raises(PolicyError, match=said):
        stores.store(base, adapter=tmp_path).open(tmp_path)


def test_weights_that_are_there_twice_are_refused(base: str, tmp_path: Path) -> None:
    """Shards that are saved over a single file leave it there, and Transformers then takes the old file."""
    folder = damaged(base, tmp_path / "m", lambda weights: weights)
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.model.norm.weight.mul_(1.5)
    model.save_pretrained(folder, max_shard_size="60KB")
    with pytest.raises(PolicyError, match=r"holds weights twice, in model\.safetensors and in shards"):
        stores.store(folder).open(folder)
    Path(folder, "model.safetensors").unlink()
    assert torch.equal(stores.store(folder).open(folder).model.model.norm.weight, model.model.norm.weight)


def test_an_adapter_beside_a_model_is_not_taken_for_it(base: str, tmp_path: Path) -> None:
    """Transformers would put the adapter on top of the model, whatever base it names."""
    adapter(base, tmp_path / "adapter")
    folder = damaged(base, tmp_path / "both", lambda weights: weights)
    shutil.copytree(tmp_path / "adapter", folder, dirs_exist_ok=True)
    with pytest.raises(PolicyError, match=r"holds an adapter \(adapter_config.json\) beside a model"):
        stores.store(folder).open(folder)
    with pytest.raises(JudgeError, match=r"holds an adapter \(adapter_config.json\) beside a model"):
        judge_models.load("judge", "causal-lm", folder, None, "auto", "cpu")


@pytest.mark.filterwarnings("ignore:Setting .save_embedding_layers.:UserWarning")
@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_an_adapter_from_elsewhere_brings_its_tokenizer_and_its_rows(tmp_path: Path, suffix: str) -> None:
    """What plain PEFT computes, with two added tokens in a chat template that the base does not have."""
    base = tiny_models.save_causal_lm(tmp_path / "base", initializer_range=0.2, chat_template=False)
    folder = tmp_path / "resized"
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(len(tokenizer))
    config = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    peft.get_peft_model(model, config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if suffix == "bin":  # as PEFT wrote it until 2023
        torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
        (folder / "adapter_model.safetensors").unlink()
    store = stores.store(base, adapter=folder)
    prompt = Prompt.of_text("Why?")
    ids = store.encoder(prompt)
    assert store.tokenizer.decode(ids) == "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    written = json.loads((folder / "adapter_config.json").read_text()) | {"base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(written))
    theirs = peft.AutoPeftModelForCausalLM.from_pretrained(folder).eval()
    answers = [(5, 321, 7), (320, 9)]
    found = store.open(folder).score_groups([(ids, answers)])[0]
    for answer, value in zip(answers, found, strict=True):
        with torch.no_grad():
            logits = theirs(torch.tensor([[*ids, *answer]])).logits[0].double().log_softmax(-1)
        assert value == pytest.approx(
            sum(float(logits[len(ids) - 1 + t, token]) for t, token in enumerate(answer)), abs=1e-4
        )
