"""How much an answer teaches about other answers of its kind, before it is aligned: by gradients of the adapter.

python benchmarks/chat_signal.py runs/chat           # the model that the run begins with; five minutes on one core
python benchmarks/chat_signal.py                     # the untrained one, on the recipe's two tasks
python benchmarks/chat_signal.py --tasks advice,tips,help,plan,mistakes,needs,basics,ideas
python benchmarks/chat_signal.py runs/chat --modules # which modules of which layers have most in common

A step raises the log-probability of the answers that won. Of two answers y, z the product of gradients
<d log pi(y), d log pi(z)> says how much raising one raises the other. Its mean over answers of one kind, less that over
answers of different kinds, is what a step wants; <d log pi(y), d log pi(y)> is what each answer pulls in a direction of
its own. The ratio, printed by how much the two prompts have in common, times the number of answers in a step, should
be well above 1: below it a step moves the policy, but hardly the kinds. With --modules: of any two kinds the squared
length of the difference between their mean gradients, in squared lengths of an answer's own, for parts of the model.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import peft
import torch

from chat_kinds import start_of
from comal.policies.base import Prompt
from comal.policies.loading import load_causal_lm
from comal.policies.transformers import TransformersPolicy
from comal.recipes.load import load_recipe
from comal.tasks.everyday import TASKS, TOPICS, kind_of, split_of

TOPICS_ASKED, SAMPLES, OF_A_KIND, SEED, RANK = 10, 6, 32, 1, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="a run's folder; without one the untrained model is asked")
    parser.add_argument("--tasks", default="advice,ideas")
    parser.add_argument("--modules", action="store_true")
    asked_for = parser.parse_args()
    tasks = asked_for.tasks.split(",")
    recipe = load_recipe("chat", [])
    forms = [form for task in tasks for form in TASKS[task]]
    topics = [topic for topic in TOPICS if split_of(topic) == "train"][::12][:TOPICS_ASKED]
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
        products = _products(policy, prompts, chosen)
    if asked_for.modules:
        _show_modules(products, chosen)
    else:
        _show(sum(products.values()), chosen, asked)


def _products(policy: TransformersPolicy, prompts: list[Prompt], chosen: list) -> dict[str, np.ndarray]:
    """Of the gradients of a fresh adapter's second matrices, for each; the first ones have none at the start."""
    torch.manual_seed(SEED)  # of the first matrices, which are a random view of the inputs
    whole = load_causal_lm(policy.model.config._name_or_path, torch.float32)
    model = peft.get_peft_model(whole, peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"))
    weights = {name: weight for name, weight in model.named_parameters() if "lora_B" in name}
    rows = []
    for _, number, ids in chosen:
        before = policy.encoder(prompts[number])
        logits = model(torch.tensor([[*before, *ids]])).logits[0, len(before) - 1 : -1]
        total = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).sum()
        rows.append([g.flatten().numpy() for g in torch.autograd.grad(total, list(weights.values()))])
    stacked = {name: np.stack([row[number] for row in rows]) for number, name in enumerate(weights)}
    return {name: gradients @ gradients.T for name, gradients in stacked.items()}


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


def _show_modules(products: dict[str, np.ndarray], chosen: list) -> None:
    kinds = np.array([kind for kind, _, _ in chosen])
    prompt = np.array([number for _, number, _ in chosen])
    others = prompt[:, None] != prompt
    places = {name: re.search(r"layers\.(\d+)\..*?(\w+)\.lora_B", name).groups() for name in products}
    last = max(int(layer) for layer, _ in places.values())
    parts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros_like(others, dtype=float))
    for name, product in products.items():
        layer, module = int(places[name][0]), places[name][1]
        fifth = f"fifth {5 * layer // (last + 1) + 1}"
        its = ["all of it", f"{fifth} of the layers", f"{module}, all layers", f"{module}, {fifth}"]
        for part in its + [f"{module}, the last layer"] * (layer == last):
            parts[part] += product
    pairs = list(combinations(dict.fromkeys(kinds), 2))
    print("| part | own | " + " | ".join(f"{a} and {b}" for a, b in pairs) + " |")
    print("|" + " --- |" * (2 + len(pairs)))
    for part, product in sorted(parts.items()):
        own = np.diag(product).mean()

        def mean(a: str, b: str, product: np.ndarray = product) -> float:
            return float(product[(kinds[:, None] == a) & (kinds == b) & others].mean())

        apart = [(mean(a, a) + mean(b, b) - 2 * mean(a, b)) / own for a, b in pairs]
        print(f"| {part} | {own:.1f} | " + " | ".join(f"{value:.3f}" for value in apart) + " |")


if __name__ == "__main__":
    main()
