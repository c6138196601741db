"""Online steps on language models: TRL's trainer takes the gradient of the regularised game, and ends at its Nash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import root

import one_token
import paid_judge
import tiny_run
from comal.errors import ConfigError, JudgeError, PolicyError
from comal.games import PreferenceGame, nash_policy
from comal.judges.base import Comparison
from comal.judges.matrix import Matrix
from comal.pipeline.cost.recipe import recipe_cost
from comal.pipeline.disk.files import read_json, read_table
from comal.pipeline.run.resources import open_store
from comal.pipeline.run.run import Run
from comal.pipeline.step import fits as online_fit
from comal.policies.base import Prompt
from comal.policies.encoder import PromptEncoder
from comal.recipes.load import validate
from tiny_models import make_tokenizer, save_causal_lm

TAU = 0.2
ONLINE = {"name": "online_grpo", "tau": TAU, "updates": 3}
needs_trl = pytest.mark.skipif(not online_fit.trl_is_installed(), reason=f"trl is not installed: {online_fit.INSTALL}")


def recipe(folder: Path, algorithm: Any = ONLINE, **changes: Any) -> dict[str, Any]:
    """A run of two online steps of three updates each."""
    values = tiny_run.values(folder, algorithm)
    values["steps"] = 2
    return values | changes


def run(folder: Path, values: dict[str, Any]) -> Path:
    """Run to the end; the main method's folder."""
    with Run(folder, validate(values)) as todo:
        todo.execute()
    return folder / str(values["algorithm"]["name"])


def weights(folder: Path, values: dict[str, Any], checkpoint: Path) -> dict[str, torch.Tensor]:
    """A checkpoint's parameters."""
    model = open_store(folder, validate(values)).open(checkpoint).model
    return {name: p.detach().double() for name, p in model.named_parameters()}


@needs_trl
def test_one_update_is_the_regularised_games_policy_gradient_on_answers_of_many_tokens(tmp_path: Path) -> None:
    """SGD with rate 1 moves the weights by the gradient, computed here from the answers kept and by Transformers alone.

    The second step is looked at: the policy has then left the reference, so that the KL matters.
    """
    base = save_causal_lm(tmp_path / "base", initializer_range=0.1)
    values = recipe(tmp_path / "data", ONLINE | {"updates": 1})
    del values["supervised"]
    values["policy"] = {"model": base, "max_new_tokens": 4}
    values["judge"] = {"name": "python", "function": "judge_functions:longer"}
    values["evaluation"]["every"] = 1  # keeps the checkpoint of each step
    values["training"] |= {
        "learning_rate": 1.0, "max_grad_norm": 0.0, "keep_optimizer": False, "prompts_per_batch": 4,
        "arguments": {"optim": "sgd"},
    }  # fmt: skip
    steps = run(tmp_path / "run", values) / "steps"
    before = open_store(tmp_path / "run", validate(values)).open(steps / "00000" / "checkpoint")
    reference = open_store(tmp_path / "run", validate(values)).open(base)
    answers = read_table(steps / "00001" / "samples.parquet")
    verdicts = read_table(steps / "00001" / "verdicts-0.parquet")
    K = values["sampling"]["samples"]
    P = np.reshape(np.array(verdicts["probability"], dtype=float), (-1, K, K))
    assert max(map(len, answers["token_ids"])) == 4
    assert P.std() > 0, "the judge must prefer some"
    loss = torch.zeros((), dtype=torch.float64)
    for g, table in enumerate(P):
        rows = slice(g * K, (g + 1) * K)
        prompt = before.encoder(Prompt.of_text(answers["prompt"][rows][0]))
        logp = torch.stack([_log_prob(before.model, prompt, ids) for ids in answers["token_ids"][rows]])
        with torch.no_grad():
            ref = torch.stack([_log_prob(reference.model, prompt, ids) for ids in answers["token_ids"][rows]])
        win_rate = torch.tensor((table.sum(axis=1) - 0.5) / (K - 1))
        signal = win_rate - TAU * K / (K - 1) * (logp.detach() - ref)
        loss = loss - ((signal - signal.mean()) * logp).mean() / len(P)
    names = [name for name, _ in before.model.named_parameters()]
    gradients = torch.autograd.grad(loss, [p.requires_grad_() for p in before.model.parameters()])
    old = {name: p.detach().double() for name, p in before.model.named_parameters()}
    new = weights(tmp_path / "run", values, steps / "00001" / "checkpoint")
    assert max(float(g.abs().max()) for g in gradients) > 1e-3
    for name, gradient in zip(names, gradients, strict=True):
        np.testing.assert_allclose((old[name] - new[name]).numpy(), gradient.double().numpy(), atol=2e-6, err_msg=name)


def _log_prob(model: Any, prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
    """Of a whole answer, by one forward pass of it alone."""
    ids = torch.tensor([[*prompt, *answer]])
    logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].double()
    return logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum()


def regularised_nash(P: np.ndarray, reference: np.ndarray, tau: float) -> np.ndarray:
    """The policy p ∝ reference · exp(P p / tau), by SciPy's hybrid Powell method on log p."""

    def policy(x: np.ndarray) -> np.ndarray:
        return np.exp(x - np.logaddexp.reduce(x))

    start = np.log(reference)
    found = root(lambda x: x - start - (P - 0.5) @ policy(x) / tau, start, tol=1e-12)
    assert found.success
    return policy(found.x)


def game_policies(folder: Path, values: dict[str, Any], checkpoint: Path) -> list[np.ndarray]:
    """Probabilities of each game's answers, which must hold nearly all there is."""
    policy = open_store(folder, validate(values)).open(checkpoint)
    found = []
    for prompt, P in one_token.games().items():
        answers = [tuple(policy.tokenizer(a)["input_ids"]) for a in one_token.ANSWERS[: len(P)]]
        p = np.exp(policy.score_groups([(policy.encoder(Prompt.of_text(prompt)), answers)])[0])
        assert p.sum() > 0.9, "almost all mass should stay on the listed answers"
        found.append(p)
    return found


def distance(p: np.ndarray, q: np.ndarray) -> float:
    """Total variation; what p gives to unlisted answers counts."""
    return float(0.5 * (np.abs(p - q).sum() + 1 - p.sum()))


def online_games(folder: Path, algorithm: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The known games with a learning rate that falls to quench the noise of the last updates."""
    values = one_token.recipe(folder, algorithm)
    values["sampling"] = {"prompts": 16, "samples": 16, "batch_size": 640}
    values["training"] |= {"prompts_per_batch": 16, "learning_rate": 6e-3, "final_learning_rate": 2e-4}
    return values | changes


@needs_trl
@pytest.mark.slow
def test_on_known_games_it_ends_at_the_regularised_nash_and_with_comal_nearer_the_exact_one(tmp_path: Path) -> None:
    """One prompt a game, of 3 and of 5 answers; a fixed reference stays where its regularised game ends."""
    online = {"name": "online_grpo", "tau": TAU, "updates": 40}
    values = online_games(tmp_path / "data", online, steps=10)
    steps = run(tmp_path / "fixed", values) / "steps"
    fixed = game_policies(tmp_path / "fixed", values, steps / "00009" / "checkpoint")
    start = game_policies(tmp_path / "fixed", values, tmp_path / "fixed" / "supervised")
    tables = list(one_token.games().values())
    targets = [regularised_nash(P, p / p.sum(), TAU) for P, p in zip(tables, start, strict=True)]
    exact = [nash_policy(PreferenceGame(P)) for P in tables]
    to_target = np.array([distance(p, q) for p, q in zip(fixed, targets, strict=True)])
    from_start = np.array([distance(p, q) for p, q in zip(start, targets, strict=True)])
    assert from_start.mean() > 0.1, "there must be a way to go"
    assert to_target.max() < 0.06

    comal = {"name": "comal", "inner": online, "inner_steps": 4, "update": "copy"}
    moved = online_games(tmp_path / "moved-data", comal, steps=16)
    steps = run(tmp_path / "moved", moved) / "steps"
    ended = game_policies(tmp_path / "moved", moved, steps / "00015" / "checkpoint")
    with_comal = np.mean([distance(p, q) for p, q in zip(ended, exact, strict=True)])
    without = np.mean([distance(p, q) for p, q in zip(fixed, exact, strict=True)])
    assert with_comal < without


@needs_trl
def test_a_step_cut_short_is_repeated_with_the_verdicts_that_were_paid_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at the second update of the second step; the checkpoints are those of an undisturbed run, bit by bit."""
    values = recipe(tmp_path / "data")
    undisturbed = run(tmp_path / "a", values | {"judge": _paid(tmp_path / "bill-a")}) / "steps"
    stopping = values | {"judge": _paid(tmp_path / "bill-b")}
    asked = paid_judge.Paid.compare
    calls = iter(range(100))

    def stop(self: Any, comparisons: Sequence[Comparison]) -> list[float | None]:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return asked(self, comparisons)

    monkeypatch.setattr(paid_judge.Paid, "compare", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", stopping)
    monkeypatch.undo()
    assert not (tmp_path / "b" / "online_grpo" / "steps" / "00001" / "checkpoint").exists()
    continued = run(tmp_path / "b", stopping) / "steps"
    for name in ("00001/checkpoint/model.safetensors", "00001/optimizer.pt"):
        assert (continued / name).read_bytes() == (undisturbed / name).read_bytes()
    for name in ("samples.parquet", "updates/00002-samples.parquet", "updates/00002-verdicts-0.parquet"):
        assert read_table(continued / "00001" / name) == read_table(undisturbed / "00001" / name)
    bills = [paid_judge.Paid.calls(tmp_path / f"bill-{run}") for run in "ab"]
    assert bills[0] == bills[1], "no verdict is paid for twice"


def _paid(bill: Path) -> dict[str, str]:
    return {"name": "paid_judge:Paid", "bill": str(bill)}


@needs_trl
def test_verdicts_that_are_missing_drop_their_prompt_or_stop_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge is silent on one of the four games; tolerated, its answers are never learnt from."""
    silent = "game 2"
    matrix_compare = Matrix.compare

    def compare(self: Matrix, comparisons: Sequence[Comparison]) -> list[float | None]:
        known = matrix_compare(self, comparisons)
        return [None if c.prompt == silent else p for c, p in zip(comparisons, known, strict=True)]

    monkeypatch.setattr(Matrix, "compare", compare)
    values = recipe(tmp_path / "data", steps=1)
    with pytest.raises(JudgeError, match="no verdict on"):
        run(tmp_path / "strict", values)
    values["sampling"]["max_failure_rate"] = 1.0
    method = run(tmp_path / "tolerant", values)
    assert read_json(method / "steps" / "00000" / "trained.json")["dropped_prompts"] > 0


@needs_trl
def test_a_plan_counts_every_updates_judge_calls(tmp_path: Path) -> None:
    """2 steps of 3 updates, each 8 prompts with the 6 pairs of 4 answers."""
    cost = recipe_cost(validate(recipe(tmp_path)))
    method = cost["methods"][0]
    assert method["comparisons"] == 2 * 3 * 8 * 6 == cost["total"]["comparisons"]
    assert method["answers"] == 2 * 3 * 8 * 4
    assert any("3 policy-gradient updates against itself, τ = 0.2 to reference" in line for line in method["program"])


def test_without_trl_the_recipe_is_refused_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online_fit, "trl_is_installed", lambda: False)
    with pytest.raises(ConfigError, match=r"TRL, which is not installed; in comal's folder: pip install .*\[trl\]"):
        run(tmp_path / "run", recipe(tmp_path / "data"))
    with pytest.raises(ConfigError, match="TRL, which is not installed"):
        recipe_cost(validate(recipe(tmp_path / "data", tiny_run.COMAL | {"inner": ONLINE})))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("part", "options", "message"),
    [
        ("policy", {"lora": {}}, r"policy.lora: `online_grpo` trains whole models online"),
        ("sampling", {"temperature": 0.7}, r"sampling.temperature: got 0.7, but the policy gradients"),
        ("sampling", {"top_p": 0.9}, r"sampling.top_p: got 0.9"),
        ("training", {"token_half_life": 2}, r"training.token_half_life: the gradients of .* count all tokens alike"),
        ("sampling", {"prompts": 6}, r"sampling.prompts: .* 6 prompts, no multiple of training.prompts_per_batch = 4"),
    ],
)
def test_what_would_rest_elsewhere_is_refused_before_a_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, options: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(online_fit, "trl_is_installed", lambda: True)
    values = recipe(tmp_path / "data")
    values[part] = values[part] | options
    with pytest.raises(ConfigError, match=message):
        recipe_cost(validate(values))


@needs_trl
def test_a_limit_that_no_prompt_can_be_cut_to_is_refused(tmp_path: Path) -> None:
    values = recipe(tmp_path / "data")
    values["policy"]["max_prompt_tokens"] = 2
    with pytest.raises(PolicyError, match=r"policy.max_prompt_tokens: what stands around .* leaves no room"):
        run(tmp_path / "run", values)


@needs_trl
def test_a_template_that_writes_the_date_is_refused_where_trl_writes_it() -> None:
    """comal's clock stands still, TRL's does not: the two would mean different policies."""
    from comal.pipeline.step.online import refuse_other_prompts

    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }}: {{ messages[0]['content'] }}"
    with pytest.raises(ConfigError, match=r"policy.model: TRL, .* does the chat template write the date"):
        refuse_other_prompts([Prompt.of_text("Why?")], PromptEncoder(tokenizer, True, None, 100))
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    refuse_other_prompts([Prompt.of_text("Why?")], PromptEncoder(tokenizer, True, None, 100))
