"""How much an answer teaches about other answers of its kind, before it is aligned: by gradients of the adapter.

python benchmarks/chat_signal.py runs/chat           # the model that the run begins with; five minutes on one core
python benchmarks/chat_signal.py                     # the untrained one, on the recipe's task
python benchmarks/chat_signal.py --tasks advice,tips,help,plan,mistakes,needs,basics,ideas
python benchmarks/chat_signal.py runs/chat --modules # which modules of which layers have most in common
python benchmarks/chat_signal.py runs/chat --half-lives   # by how fast the weight of later tokens falls; ten minutes

A step raises the log-probability of the answers that won. Of two answers y, z the product of gradients
<d log pi(y), d log pi(z)> says how much raising one raises the other. Its mean over answers of one kind, less that over
answers of different kinds, is what a step wants; <d log pi(y), d log pi(y)> is what each answer pulls in a direction of
its own. The ratio, printed by how much the two prompts have in common, times the number of answers in a step, should
be well above 1: below it a step moves the policy, but hardly the kinds. With --modules: of any two kinds the squared
length of the difference between their mean gradients, in squared lengths of an answer's own, for parts of the model.
With --half-lives the same products, of an answer's gradient with another's as `training.token_half_life` weighs it.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import peft
import torch

from chat_kinds import start_of
from comal.policies.base import Prompt
from comal.policies.loading import load_causal_lm
from comal.policies.sequences import TokenBatch, completion_log_probs
from comal.policies.transformers import TransformersPolicy
from comal.recipes.load import load_recipe
from comal.tasks.everyday import TASKS, TOPICS, kind_of, split_of

TOPICS_ASKED, SAMPLES, OF_A_KIND, SEED, RANK = 20, 6, 32, 1, 32
HALF_LIVES = (None, 8.0, 4.0, 2.0, 1.0, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="a run's folder; without one the untrained model is asked")
    parser.add_argument("--tasks", default="advice")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--modules", action="store_true")
    shown.add_argument("--half-lives", action="store_true")
    asked_for = parser.parse_args()
    tasks = asked_for.tasks.split(",")
    recipe = load_recipe("chat", [])
    forms = [form for task in tasks for form in TASKS[task]]
    topics = [topic for topic in TOPICS if split_of(topic) == "train"]
    topics = topics[:: len(topics) // TOPICS_ASKED][:TOPICS_ASKED]
    asked = [(form, topic) for form in forms for topic in topics]
    with start_of(recipe, asked_for.run) as policy:
        prompts = [Prompt.of_text(form.format(topic=topic)) for form, topic in asked]
        groups = policy.sample(prompts, SAMPLES, SEED)
        answers = [(number, answer) for number, group in enumerate(groups) for answer in group]
        np.random.default_rng(SEED).shuffle(answers)
        by_kind = defaultdict(list)
        for number, answer in answers:
            by_kind[kind_of(answer.text)].append((number, answer.token_ids))
        chosen = [(kind, *pair) for kind, pairs in by_kind.items() for pair in pairs[:OF_A_KIND]]
        rows, gradient = _gradients(policy, prompts, chosen)
        if asked_for.half_lives:
            by_half_life = {half_life: _products(rows, gradient, chosen, half_life) for half_life in HALF_LIVES}
            _show_half_lives(by_half_life, chosen)
            return
    by_name = {name: its @ its.T for name, its in rows.items()}
    if asked_for.modules:
        _show_modules(by_name, chosen)
    else:
        _show(sum(by_name.values()), chosen, asked)


Gradient = Callable[[int, Sequence[int], float | None], dict[str, np.ndarray]]
"""Of an answer to the prompt of that number, by matrix, where later tokens weigh as `training.token_half_life` says."""


def _gradients(
    policy: TransformersPolicy, prompts: list[Prompt], chosen: list
) -> tuple[dict[str, np.ndarray], Gradient]:
    """Of a fresh adapter's second matrices, a row an answer; the first ones have none at the start."""
    torch.manual_seed(SEED)  # of the first matrices, which are a random view of the inputs
    whole = load_causal_lm(policy.model.config._name_or_path, torch.float32)
    model = peft.get_peft_model(whole, peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"))
    weights = {name: weight for name, weight in model.named_parameters() if "lora_B" in name}

    def gradient(number: int, ids: Sequence[int], half_life: float | None) -> dict[str, np.ndarray]:
        batch = TokenBatch.collate([(policy.encoder(prompts[number]), [ids])], policy.pad_token)
        total = completion_log_probs(model, batch, half_life).sum()
        found = torch.autograd.grad(total, list(weights.values()))
        return {name: g.flatten().numpy() for name, g in zip(weights, found, strict=True)}

    rows = [gradient(number, ids, None) for _, number, ids in chosen]
    return {name: np.stack([row.pop(name) for row in rows]) for name in weights}, gradient


def _products(rows: dict[str, np.ndarray], gradient: Gradient, chosen: list, half_life: float | None) -> np.ndarray:
    """Of each answer's gradient (a row) with each one's that is weighed (a column); one of these is held at a time."""
    columns = []
    for _, number, ids in chosen:
        weighed = gradient(number, ids, half_life)
        columns.append(sum(its @ weighed[name] for name, its in rows.items()))
    return np.stack(columns, axis=1)


def _show(products: np.ndarray, chosen: list, asked: list[tuple[str, str]]) -> None:
    kinds = np.array([kind for kind, _, _ in chosen])
    prompt = np.array([number for _, number, _ in chosen])
    form = np.array([asked[number][0] for number in prompt])
    same = prompt[:, None] == prompt
    alike = form[:, None] == form
    own = np.diag(products).mean()
    print(f"{len(chosen)} answers: " + ", ".join(f"{(kinds == kind).sum()} {kind}" for kind in dict.fromkeys(kinds)))
    for title, pairs in (
        ("the same prompt", same & ~np.eye(len(same), dtype=bool)),
        ("the same form, another topic", alike & ~same),
        ("another form", ~alike),
        ("any other prompt", ~same),
    ):
        ours, theirs = (products[pairs & mask] / own for mask in (kinds[:, None] == kinds, kinds[:, None] != kinds))
        if not ours.size or not theirs.size:
            print(f"{title:<30} no such pairs of one kind, or none of two")
            continue
        # Every pair stands twice in the square.
        error = float(np.sqrt(2 * ours.var() / ours.size + 2 * theirs.var() / theirs.size))
        print(f"{title:<30} {ours.mean() - theirs.mean():+.4f} ± {1.96 * error:.4f}  of an answer's own")


def _show_half_lives(products: dict[float | None, np.ndarray], chosen: list) -> None:
    pairs, apart = _told_apart(chosen)
    print("| half-life | own | " + " | ".join(f"{a} and {b}" for a, b in pairs) + " |")
    print("|" + " --- |" * (2 + len(pairs)))
    for half_life, product in products.items():
        values = " | ".join(f"{value:.3f}" for value in apart(product))
        print(f"| {half_life or 'none'} | {np.diag(product).mean():.1f} | {values} |")


def _told_apart(chosen: list) -> tuple[list, Callable[[np.ndarray], list[float]]]:
    """Pairs of kinds, and what says how far the kinds of each are apart: of answers to different prompts."""
    kinds = np.array([kind for kind, _, _ in chosen])
    prompt = np.array([number for _, number, _ in chosen])
    others = prompt[:, None] != prompt
    pairs = list(combinations(dict.fromkeys(kinds), 2))

    def apart(product: np.ndarray) -> list[float]:
        def mean(a: str, b: str) -> float:
            return float(product[(kinds[:, None] == a) & (kinds == b) & others].mean())

        own = np.diag(product).mean()
        return [(mean(a, a) + mean(b, b) - mean(a, b) - mean(b, a)) / own for a, b in pairs]

    return pairs, apart


def _show_modules(products: dict[str, np.ndarray], chosen: list) -> None:
    pairs, apart = _told_apart(chosen)
    places = {name: re.search(r"layers\.(\d+)\..*?(\w+)\.lora_B", name).groups() for name in products}
    last = max(int(layer) for layer, _ in places.values())
    parts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((len(chosen), len(chosen))))
    for name, product in products.items():
        layer, module = int(places[name][0]), places[name][1]
        fifth = f"fifth {5 * layer // (last + 1) + 1}"
        its = ["all of it", f"{fifth} of the layers", f"{module}, all layers", f"{module}, {fifth}"]
        for part in its + [f"{module}, the last layer"] * (layer == last):
            parts[part] += product
    print("| part | own | " + " | ".join(f"{a} and {b}" for a, b in pairs) + " |")
    print("|" + " --- |" * (2 + len(pairs)))
    for part, product in sorted(parts.items()):
        values = " | ".join(f"{value:.3f}" for value in apart(product))
        print(f"| {part} | {np.diag(product).mean():.1f} | {values} |")


if __name__ == "__main__":
    main()
