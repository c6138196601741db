"""An adapter's folder as a model: it is its base with the adapter merged into it, or there is one message."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import stores
import tiny_models
from comal.errors import PolicyError
from comal.policies.adapter_folder import read_adapter
from comal.policies.loading import load_tokenizer, require_folder
from comal.policies.merging import load_whole, quantised

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

IDS = torch.tensor([[5, 17, 101, 33, 260, 7]])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_models.save_causal_lm(tmp_path_factory.mktemp("base"), initializer_range=0.2)


@pytest.fixture(scope="module")
def trained(base: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter far from zero, as PEFT alone writes it, without a tokenizer."""
    folder = tmp_path_factory.mktemp("adapter")
    adapted(base).save_pretrained(folder)
    return folder


def adapted(base: str, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        given = {"r": 4, "target_modules": "all-linear", "task_type": "CAUSAL_LM", "init_lora_weights": False}
        return peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), peft.LoraConfig(**given | options))


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(IDS).logits
    return found


@pytest.mark.parametrize(
    "options",
    [{}, {"use_rslora": True}, {"use_dora": True}, {"modules_to_save": ["input_layernorm"]}],
    ids=["LoRA", "rsLoRA", "DoRA", "trained modules"],
)
def test_an_adapters_folder_is_the_model_that_it_makes_of_its_base(
    base: str, tmp_path: Path, options: dict[str, Any]
) -> None:
    model = adapted(base, **options)
    model.save_pretrained(tmp_path)
    whole = load_whole(str(tmp_path), torch.float32)
    assert not hasattr(whole, "peft_config")
    assert all(weights.requires_grad for weights in whole.parameters()), "it can be trained"
    assert torch.allclose(logits(whole), logits(model), atol=1e-4)
    assert not torch.allclose(logits(whole), logits(AutoModelForCausalLM.from_pretrained(base)), atol=0.1)
    assert load_tokenizer(str(tmp_path)).get_vocab() == load_tokenizer(base).get_vocab(), "the base's, for want of one"
    require_folder(str(tmp_path))


def test_an_adapters_own_tokenizer_and_template_hold(base: str, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "own")
    tokenizer = load_tokenizer(base)
    tokenizer.chat_template = "{{ messages[0]['content'] }}<|bos|>"
    tokenizer.save_pretrained(tmp_path / "own")
    assert load_tokenizer(str(tmp_path / "own")).chat_template == tokenizer.chat_template
    assert load_tokenizer(str(trained)).chat_template == tiny_models.CHAT_TEMPLATE


def test_a_relative_base_is_found_from_elsewhere(
    base: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(base, tmp_path / "project" / "models" / "small")
    shutil.copytree(trained, tmp_path / "project" / "runs" / "first" / "adapter")
    folder = tmp_path / "project" / "runs" / "first" / "adapter"
    renamed(folder, base_model_name_or_path="models/small")
    monkeypatch.chdir(tmp_path / "project")
    assert read_adapter("runs/first/adapter").base == "models/small"
    monkeypatch.chdir(tmp_path)
    assert Path(read_adapter(folder).base) == tmp_path / "project" / "models" / "small"
    renamed(folder, base_model_name_or_path="owner/of-the-hub", revision="main")
    assert (read_adapter(folder).base, read_adapter(folder).revision) == ("owner/of-the-hub", "main")


def renamed(folder: Path, **changes: Any) -> str:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_model_name_or_path": "/no/such"}, "`/no/such`, cannot be used: there is no folder .*whole path or hub"),
        ({"base_model_name_or_path": None}, "names no base model"),
        ({"base_model_name_or_path": 3}, "names no base model"),
        ({"peft_type": "PROMPT_TUNING"}, "an adapter of kind PROMPT_TUNING; only LoRA's"),
        ({"task_type": "SEQ_CLS"}, "was trained for SEQ_CLS, not to answer"),
    ],
)
def test_what_is_no_adapter_of_a_model_at_hand_is_one_message(
    trained: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    shutil.copytree(trained, tmp_path / "a")
    with pytest.raises(PolicyError, match=message) as caught:
        require_folder(renamed(tmp_path / "a", **changes))
    assert caught.value.place == str(tmp_path / "a")


def test_a_configuration_that_cannot_be_read_is_one_message(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"a": 1}'):
        (tmp_path / "adapter_config.json").write_text(text, encoding="utf-8")
        with pytest.raises(PolicyError, match=r"adapter_config\.json(:1: not JSON| names no base)"):
            require_folder(str(tmp_path))


def test_a_base_of_another_shape_or_that_is_an_adapter_is_one_message(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "a")
    other = tiny_models.save_causal_lm(tmp_path / "other", hidden_size=32)
    with pytest.raises(PolicyError, match="does not fit its model"):
        load_whole(renamed(tmp_path / "a", base_model_name_or_path=other), torch.float32)
    with pytest.raises(PolicyError, match="it is an adapter itself"):
        require_folder(renamed(tmp_path / "a", base_model_name_or_path=str(trained)))


def test_a_quantised_base_takes_no_adapter_into_its_weights(base: str, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "base")
    config = json.loads((tmp_path / "base" / "config.json").read_text("utf-8"))
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (tmp_path / "base" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shutil.copytree(trained, tmp_path / "a")
    folder = renamed(tmp_path / "a", base_model_name_or_path=str(tmp_path / "base"))
    assert (quantised(base), quantised(folder)) == (None, "bitsandbytes")
    with pytest.raises(PolicyError, match=r"is quantised \(bitsandbytes\), and nothing can be added"):
        load_whole(folder, torch.float32)


def test_the_revision_that_is_loaded_is_the_one_that_is_looked_at(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []
    config = SimpleNamespace(quantization_config={"quant_method": "awq"})
    monkeypatch.setattr(
        AutoConfig, "from_pretrained", lambda name, revision, **_: asked.append((name, revision)) or config
    )
    shutil.copytree(trained, tmp_path / "a")
    folder = renamed(tmp_path / "a", base_model_name_or_path="owner/base", revision="v2")
    assert (quantised(folder, revision="v3"), quantised("owner/base", revision="v3")) == ("awq", "awq")
    assert asked == [("owner/base", "v2"), ("owner/base", "v3")]


def test_an_adapter_on_a_head_that_is_the_embedding_is_refused(base: str, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="tie_word_embeddings"):
        model = adapted(base, target_modules=["q_proj", "lm_head"])
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    with pytest.raises(PolicyError, match=r"one matrix \(tie_word_embeddings\), and the head"):
        load_whole(str(tmp_path), torch.float32)


def test_what_merging_would_change_is_no_model(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unload(self: Any) -> Any:
        return self.base_model.unload()

    monkeypatch.setattr(peft.PeftModelForCausalLM, "merge_and_unload", unload, raising=False)
    with pytest.raises(
        PolicyError, match=r"merging the adapter in .* changes log-probabilities by .* \(0\.001 allowed"
    ):
        load_whole(str(trained), torch.float32)


def test_a_store_opens_an_adapter_of_another_model_as_a_whole_policy(base: str, trained: Path) -> None:
    policy = stores.store(base).open(trained)
    assert policy.adapter is None
    assert torch.allclose(logits(policy.model), logits(load_whole(str(trained), torch.float32)))
