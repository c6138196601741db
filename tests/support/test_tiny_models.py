import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

import tiny_models


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("chat_template", [True, False])
def test_a_saved_causal_lm_loads_like_any_other(tmp_path, architecture, chat_template):
    folder = tiny_models.save_causal_lm(tmp_path / "lm", architecture=architecture, chat_template=chat_template)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    text = "Return the ünïcode size,\n  A or B?"
    ids = tokenizer(text, return_tensors="pt")
    assert tokenizer.decode(ids["input_ids"][0]) == text
    assert model(**ids).logits.shape[-1] == len(tokenizer)
    assert (tokenizer.chat_template is not None) == chat_template
    assert {tokenizer.pad_token, tokenizer.eos_token} == {tiny_models.PAD, tiny_models.EOS}


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_saved_reward_model_gives_one_logit(tmp_path, architecture):
    folder = tiny_models.save_reward_model(tmp_path / "rm", architecture=architecture)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    batch = tokenizer(["Return it.", "Returns the size of the file."], return_tensors="pt", padding=True)
    rewards = model(**batch).logits
    assert rewards.shape == (2, 1)
    assert rewards[0] != rewards[1]


def test_builders_are_deterministic_and_leave_the_global_random_state_alone(tmp_path):
    before = torch.random.get_rng_state()
    seeds = {"a": 3, "b": 3, "c": 4}
    folders = [tiny_models.save_causal_lm(tmp_path / name, seed=seed) for name, seed in seeds.items()]
    assert torch.equal(torch.random.get_rng_state(), before)
    a, b, c = (AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().weight for folder in folders)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
