"""What tokenizers put around a prompt, and padding that a model has no row for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

import stores
import tiny_models
from comal.errors import PolicyError
from comal.models.tokens import filler_token, prompt_ids
from comal.policies.base import Completion, Prompt
from comal.policies.encoder import PromptEncoder
from comal.policies.transformers import Decoding

REFUSES = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ m['content'] }}{% endfor %}"
)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize(
    ("around", "shown"),
    [
        ("<|bos|> $A <|eos|>", "<|bos|>Why?"),
        ("$A <|eos|>", "Why?"),
        ("$A <|eos|> <|eos|>", "Why?"),
        ("<|bos|> $A", "<|bos|>Why?"),
        ("<|bos|> <|bos|> $A", "<|bos|><|bos|>Why?"),
    ],
)
def test_what_a_tokenizer_puts_after_a_text_is_left_out_of_a_prompt(tmp_path: Path, around: str, shown: str) -> None:
    base = tiny_models.save_causal_lm(tmp_path, chat_template=False)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=around, special_tokens=[("<|bos|>", 1), ("<|eos|>", 2)]
    )
    tokenizer.save_pretrained(base)
    store = stores.store(base)
    assert store.tokenizer.decode(store.encoder(Prompt.of_text("Why?"))) == shown
    assert store.open(base).encode_answer("Now.")[-1] == 2
    assert store.open(base).encode_answer("Now.").count(2) == 1


def test_an_end_token_that_the_prompt_itself_ends_with_stays() -> None:
    tokenizer = tiny_models.make_tokenizer()
    assert prompt_ids(tokenizer, "Why?<|eos|>")[-1] == 2


@pytest.mark.parametrize(
    ("wanted", "others", "filler"),
    [(5, [2], 5), (None, [2], 2), (-1, [2], 2), (320, [2], 2), (320, [], 0), (None, [400], 0), (0, [2], 0)],
)
def test_padding_is_a_token_that_the_embedding_has(wanted: Any, others: list[int], filler: int) -> None:
    assert filler_token(wanted, others, rows=320) == filler


def test_a_padding_token_beyond_the_embedding_changes_nothing(tmp_path: Path) -> None:
    prompts = [Prompt.of_text("Why?"), Prompt.of_text("How long is a yard, and why?")]
    found = []
    for name in ("plain", "beyond"):
        base = tiny_models.save_causal_lm(tmp_path / name, initializer_range=0.2)
        if name == "beyond":
            tokenizer = AutoTokenizer.from_pretrained(base)
            assert tokenizer.add_special_tokens({"pad_token": "[PAD]"}) == 1
            tokenizer.save_pretrained(base)
        policy = stores.store(base, decoding=Decoding(max_new_tokens=5)).open(base)
        assert policy.pad_token < 320
        drawn = policy.sample(prompts, 3, seed=0)
        found.append([[c.token_ids for c in group] for group in drawn])
        score = policy.score_groups([(policy.encoder(p), [(5, 6), (7,)]) for p in prompts])
        found.append([s.round(3).tolist() for s in score])
    assert found[:2] == found[2:]


def test_a_padding_token_of_config_json_beyond_the_embedding_changes_nothing(tmp_path: Path) -> None:
    base = tiny_models.save_causal_lm(tmp_path, initializer_range=0.2)
    prompts, answers = [Prompt.of_text("Why?")], [[Completion("", (5, 6, 7), False)]]
    (expected,) = stores.store(base).open(base).log_probs(prompts, answers)
    config = json.loads((tmp_path / "config.json").read_text()) | {"pad_token_id": 32_000}
    (tmp_path / "config.json").write_text(json.dumps(config))
    policy = stores.store(base, decoding=Decoding(max_new_tokens=4)).open(base)
    assert policy.log_probs(prompts, answers)[0] == pytest.approx(expected, abs=1e-6)
    assert len(policy.sample([*prompts, Prompt.of_text("And why is it so?")], 2, seed=0)) == 2


def test_a_prompt_with_tokens_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    base = tiny_models.save_causal_lm(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.save_pretrained(base)
    with pytest.raises(PolicyError, match=r"writes '<\|im_start\|>' as token 320, and the model's embedding has 320"):
        stores.store(base).open(base).sample([Prompt.of_text("<|im_start|>")], 1, seed=0)


def test_a_model_without_an_end_token_can_be_sampled_and_gets_none_put_on(tmp_path: Path) -> None:
    base = tiny_models.save_causal_lm(tmp_path, chat_template=False)
    for file in ("config.json", "generation_config.json", "tokenizer_config.json"):
        content = json.loads((tmp_path / file).read_text())
        content |= {key: None for key in ("eos_token", "eos_token_id") if key in content}
        (tmp_path / file).write_text(json.dumps(content))
    policy = stores.store(base, decoding=Decoding(max_new_tokens=4)).open(base)
    assert policy.end_tokens == []
    assert None not in policy.encode_answer("Now.")
    (group,) = policy.sample([Prompt.of_text("Why?")], 2, seed=0)
    assert all(isinstance(c, Completion) and not c.finished and len(c.token_ids) == 4 for c in group)


@pytest.mark.parametrize(
    ("messages", "system", "reason"),
    [
        ([{"role": "system", "content": "Be brief."}, user("Why?")], None, "System role not supported"),
        ([user("Why?")], "Be brief.", "System role not supported.*leave policy.system_prompt out"),
        ([user("first"), user("second")], None, "roles must alternate"),
    ],
)
def test_a_prompt_that_the_chat_template_refuses_is_named(
    tmp_path: Path, messages: list[dict[str, str]], system: str | None, reason: str
) -> None:
    base = tiny_models.save_causal_lm(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = REFUSES
    tokenizer.save_pretrained(base)
    encoder = stores.store(base, system_prompt=system).encoder
    encoder.require([])
    with pytest.raises(PolicyError, match=rf"policy.chat_template: the chat template refuses .*{reason}"):
        encoder.require([Prompt(tuple(messages))])


NO_SYSTEM = (
    "{% for message in messages if message['role'] != 'system' %}<|bos|>{{ message['content'] | trim }}<|eos|>"
    "{% endfor %}<|bos|>"
)
LAST_ONLY = "<|bos|>{{ messages[-1]['content'] }}<|eos|><|bos|>"
BRIEF = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("template", "messages", "system", "reason"),
    [
        (NO_SYSTEM, [BRIEF, user("Why?")], None, "leaves 'Be brief.' out .*the system's message"),
        (NO_SYSTEM, [user("Why?")], "Answer in French.", "leaves 'Answer in French.' out .*leave policy.system_prompt"),
        (LAST_ONLY, [user("Why?"), {"role": "assistant", "content": "So."}, user("Oh?")], None, "leaves 'Why\\?' out"),
    ],
)
def test_a_message_that_the_chat_template_leaves_out_is_named(
    tmp_path: Path, template: str, messages: list[dict[str, str]], system: str | None, reason: str
) -> None:
    tokenizer = tiny_models.make_tokenizer()
    tokenizer.chat_template = template
    encoder = PromptEncoder(tokenizer, True, system, 100)
    with pytest.raises(PolicyError, match=rf"policy.chat_template: the chat template {reason}"):
        encoder.require([Prompt(tuple(messages))])


def test_templates_may_write_json() -> None:
    tokenizer = tiny_models.make_tokenizer()
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] | tojson }}{% endfor %}"
    encoder = PromptEncoder(tokenizer, True, None, 100)
    said = '"Why?"\nsaid he'
    assert tokenizer.decode(encoder(Prompt((user(said),)))) == json.dumps(said)


def test_templates_may_trim_and_drop_an_assistants_earlier_thoughts() -> None:
    tokenizer = tiny_models.make_tokenizer()
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message['content'].split('</think>')[-1].replace('/no_think', '') | trim }}"
        "<|eos|>{% endfor %}"
    )
    turns = [user(" Why?\n"), {"role": "assistant", "content": "<think>Hm.</think>\n\nSo."}, user("Oh? /no_think")]
    encoder = PromptEncoder(tokenizer, True, "Be brief. /no_think", 100)
    assert tokenizer.decode(encoder(Prompt(tuple(turns)))) == "Be brief.<|eos|>Why?<|eos|>So.<|eos|>Oh?<|eos|>"


def test_templates_that_write_the_date_write_the_same_one_every_day() -> None:
    """What Llama 3's own templates write without a clock; by today's a run would ask other questions tomorrow."""
    tokenizer = tiny_models.make_tokenizer()
    tokenizer.chat_template = (
        "{{ strftime_now('%d %b %Y, %H:%M') }}: {% for message in messages %}{{ message['content'] }}{% endfor %}"
    )
    prompt = Prompt((user("Why?"),))
    assert tokenizer.decode(PromptEncoder(tokenizer, True, None, 100)(prompt)) == "26 Jul 2024, 00:00: Why?"
    assert not tokenizer.apply_chat_template([user("Why?")], tokenize=False).startswith("26 Jul 2024"), "the tool's own"
