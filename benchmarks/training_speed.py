"""Answers trained on a second: comal against TRL's DPOTrainer, by turns in one run.

    OMP_NUM_THREADS=1 python benchmarks/training_speed.py [--ratios 1 4 8] [--answer-tokens 64] [--repeats 5]

A Llama of 10M parameters in float32, 4 answers to a prompt, prompts of 1, 4 and 8 times the answers' tokens. Both train
on the same answers, as many in an optimiser step; TRL as said in `side_by_side/trained.py`. First it is seen that
gradients equal those of a plain implementation: an answer a forward pass, without padding, all logits at once. Needs
`pip install '.[trl]'`.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from comal.losses.group import Group
from comal.pipeline.processes.distributed import prepare_process
from comal.policies.sequences import TokenBatch, completion_log_probs
from side_by_side.random_lm import PAD, SHAPES, make_model, prompts_and_answers
from side_by_side.trained import K, Texts, groups, ours, trl, whole_groups
from side_by_side.turns import by_turns, show, show_settings, table

TRL = "TRL DPO"
SHARED = {"comal": False, "comal, share_prompt": True}


def gradient(model: Any, logp_BK: torch.Tensor, texts: Texts) -> torch.Tensor:
    """Of the mean prox loss, all parameters one after another; the anchor is the policy that training starts from.

    As in training, its log-probabilities are those of the same code: sums of hundreds of nats are rounded alike.
    """
    model.zero_grad()
    rates_BK = torch.stack([torch.as_tensor(group.win_rate) for group in groups(texts)]).float()
    start_BK = logp_BK.detach()
    Group()(logp_BK, start_BK, rates_BK, 1.0, start_BK).mean().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def plain_log_prob(model: Any, prompt: list[int], answer: list[int]) -> torch.Tensor:
    ids = torch.tensor([prompt + answer])
    logp = model(input_ids=ids).logits.log_softmax(-1)[0, :-1]
    chosen: torch.Tensor = logp.gather(1, ids[0, 1:, None])[len(prompt) - 1 :].sum()
    return chosen


def gradient_apart(model: Any, texts: Texts, share_prompt: bool) -> float:
    """Largest difference from the plain implementation's gradient, relative to its largest entry."""
    plain = torch.stack([
        torch.stack([plain_log_prob(model, prompt, answer) for answer in answers])
        for prompt, answers in zip(*texts, strict=True)
    ])  # fmt: skip
    expected = gradient(model, plain, texts)
    batch = TokenBatch.collate(list(zip(*texts, strict=True)), PAD, share_prompt)
    found = gradient(model, completion_log_probs(model, batch).view(plain.shape), texts)
    return float((found - expected).abs().max() / expected.abs().max())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="10M")
    parser.add_argument("--ratios", type=int, nargs="+", default=[1, 4, 8], help="prompt to answer, in tokens")
    parser.add_argument("--answer-tokens", type=int, default=64)
    parser.add_argument("--answers", type=whole_groups, default=8, help="of an optimiser step")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    prepare_process(None)
    show_settings(options)
    model = make_model(SHAPES[options.shape])
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}M parameters\n")
    for ratio in options.ratios:
        size = options.answers // K
        texts = prompts_and_answers(size * options.steps, K, ratio * options.answer_tokens, options.answer_tokens)
        one = (texts[0][:1], texts[1][:1])
        apart = {way: gradient_apart(model, one, share) for way, share in SHARED.items()}
        model.zero_grad(set_to_none=True)
        with tempfile.TemporaryDirectory() as output:
            place = Path(output)
            ways = {
                way: lambda share=share, texts=texts, place=place: ours(
                    copy.deepcopy(model), texts, options.answers, place, share
                )
                for way, share in SHARED.items()
            }
            ways[TRL] = lambda texts=texts, place=place: trl(copy.deepcopy(model), texts, options.answers, place)
            found = by_turns(ways, options.repeats)
        rows = table(found, options.answers * options.steps, "answers", TRL)
        print(f"prompt : answer = {ratio}:1")
        show([
            (*row, "gradient apart" if not number else f"{apart[row[0]]:.0e}" if row[0] in apart else "")
            for number, row in enumerate(rows)
        ])  # fmt: skip


if __name__ == "__main__":
    main()
