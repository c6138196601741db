"""What the benchmarks measure with: fair turns, time that is somebody's, texts that both sides read alike."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

import pytest
import torch


def module(name: str) -> Any:
    return importlib.import_module(name)


def test_every_round_has_all_ways_in_another_order_and_the_first_does_not_count() -> None:
    turns, done = module("side_by_side.turns"), []
    ways = {name: lambda name=name: lambda: done.append(name) for name in "abc"}
    found = turns.by_turns(ways, 3)
    assert ["".join(done[i : i + 3]) for i in range(0, len(done), 3)] == ["cab", "abc", "bca", "cab"]
    assert {name: len(spent) for name, spent in found.items()} == {"a": 3, "b": 3, "c": 3}


def test_only_the_work_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, now = module("side_by_side.turns"), [0.0]
    monkeypatch.setattr(turns, "processor_seconds", lambda: now[0])

    def later(seconds: float) -> None:
        now[0] += seconds

    def way() -> Any:
        later(100.0)
        return lambda: later(2.0)

    assert [spent.cpu for spent in turns.by_turns({"a": way}, 2)["a"]] == [2.0, 2.0]


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    """Peer over way: 6/3, 9/3, 20/4 = 2, 3, 5; of 12 units the median of 3, 3, 4 seconds makes 4 a second."""
    turns = module("side_by_side.turns")
    found = {
        "ours": [turns.Spent(3, 6), turns.Spent(3, 6), turns.Spent(4, 6)],
        "theirs": [turns.Spent(6, 8), turns.Spent(9, 8), turns.Spent(20, 8)],
    }
    _, ours, theirs = turns.table(found, 12, "answers", "theirs")
    assert ours == ("ours", "4.0", "2.0", "3.00", "2.00", "5.00")
    assert theirs[3:] == ("1.00", "1.00", "1.00")


def test_a_part_within_another_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 s outside, 2 s drawing, 4 s of a pass within it, 8 s drawing again, 16 s outside."""
    parts_module, now = module("side_by_side.parts"), [0.0]
    monkeypatch.setattr(parts_module.time, "process_time", lambda: now[0])
    parts = parts_module.Parts()
    now[0] += 1
    with parts.part("draw"):
        now[0] += 2
        with parts.part("pass"):
            now[0] += 4
        now[0] += 8
    now[0] += 16
    parts.close()
    assert parts.seconds == {"outside": 17, "draw": 10, "pass": 4}


def test_watching_leaves_no_trace() -> None:
    import transformers

    parts, kind = module("side_by_side.parts"), transformers.LlamaForCausalLM
    before = (kind.forward, kind.generate, torch.Tensor.backward, torch.optim.AdamW.step)
    with parts.Parts().watching(kind):
        assert kind.forward is not before[0]
    assert (kind.forward, kind.generate, torch.Tensor.backward, torch.optim.AdamW.step) == before
    assert "generate" not in vars(kind)


def test_a_text_is_read_as_the_tokens_that_it_was_made_of() -> None:
    """Among them words that begin like others, which a special token inside of a word would cut."""
    lm = module("side_by_side.random_lm")
    tokens = [3, 10, 19, 20, 29, 100, 200, lm.WORDS - 1]
    tokenizer = lm.make_tokenizer()
    assert tokenizer(lm.text(tokens))["input_ids"] == tokens
    assert tokenizer(lm.text(tokens) + tokenizer.eos_token)["input_ids"] == [*tokens, lm.EOS]


@pytest.mark.parametrize(("shape", "billions"), [("qwen2.5-1.5b", 1.543714), ("qwen2.5-7b", 7.615616)])
def test_large_shapes_have_the_parameters_of_the_published_models(shape: str, billions: float) -> None:
    lm = module("side_by_side.random_lm")
    model = lm.make_model(lm.SHAPES[shape], torch.bfloat16, "meta")
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(billions * 1e9, abs=1e3)


@pytest.mark.parametrize(
    ("shared", "frozen", "expected"), [(False, False, 12_384), (True, False, 10_656), (False, True, 9_552)]
)
def test_operations_of_training_by_hand(shared: bool, frozen: bool, expected: int) -> None:
    """V = 10, H = 2, one layer, 46 parameters of products, 20 of them the head; a prompt of 3 tokens, 4 answers of 6.

    Forward, all: 2 · (26 · (4 · 3 + 4 · 6) + 20 · 24) = 2832; attention 4 · 2 · (4 · 4.5 + 4 · (18 + 18)) = 1296;
    three times the sum. Shared: 2 · (26 · 27 + 480) = 2364, and 8 · (4.5 + 144) = 1188. Frozen: 2 · 2832 + 3 · 1296.
    """
    gpu, lm = module("gpu"), module("side_by_side.random_lm")
    options = argparse.Namespace(prompt_tokens=3, answer_tokens=6, lora=8 if frozen else None)
    assert gpu.operations(lm.Shape(10, 2, 4, 1, 1, 1), 46, options, shared) == expected


@pytest.mark.parametrize("given", ["0", "6", "-4", "four", ""])
def test_answers_that_are_no_whole_groups(given: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"need a multiple of 4, which a prompt has, got {given}"):
        module("side_by_side.trained").whole_groups(given)
