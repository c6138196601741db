"""One contract for all engines: they draw what is scored, repeatably, from the checkpoint that is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outside_engines
import tiny_models
from comal.plugins import ENGINES, describe
from comal.policies import door
from comal.policies.base import Completion, Drawn, Prompt
from comal.policies.engines.base import Sampler
from comal.policies.engines.outside.running import close_engine
from comal.policies.store import PolicyStore
from comal.policies.transformers import Decoding
from comal.resolve import resolve_engine

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

PROMPTS = [Prompt.of_text(t) for t in ("How long is a yard?", "Why?", "Name the third planet, please.")]
NUMBERED = list(enumerate(PROMPTS))
ENDS = [2, *range(5, 60)]
REAL = pytest.param(
    "vllm",
    marks=[
        pytest.mark.slow,
        pytest.mark.vllm,
        pytest.mark.skipif(outside_engines.REAL is None, reason="needs a Python with vLLM; `make test-vllm` has one"),
    ],
)


@dataclass(frozen=True)
class Bench:
    """An engine, a model that it is tried on, and two further checkpoints of each kind."""

    engine: dict[str, Any]
    base: str
    folder: Path

    def store(self, **fields: Any) -> PolicyStore:
        return outside_engines.store(self.base, self.engine, **fields)

    @property
    def outside(self) -> bool:
        return resolve_engine(self.engine, "engine").outside


@pytest.fixture(scope="module", params=["transformers", "fake vllm", REAL])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("engine")
    base = tiny_models.save_causal_lm(folder / "base", initializer_range=0.2)
    wishes = {"eos_token_id": ENDS, "repetition_penalty": 1.5, "min_new_tokens": 5, "top_k": 3, "temperature": 0.1}
    (folder / "base" / "generation_config.json").write_text(json.dumps(wishes), encoding="utf-8")
    engine: dict[str, Any] = {"name": "transformers"}
    if request.param == "fake vllm":
        engine = {"name": "vllm", "python": outside_engines.fake_python(folder)}
    elif request.param == "vllm":
        engine = {"name": "vllm", "python": outside_engines.REAL, "kv_cache_gib": 0.25}
    for kind, lora in (("whole", None), ("adapter", outside_engines.LORA)):
        plain = outside_engines.store(base, {"name": "transformers"}, lora=lora)
        for number in (1, 2):
            outside_engines.moved(plain, folder / kind / ("x" * number))
    yield Bench(engine, base, folder)
    close_engine()


def tokens(groups: list[list[Drawn]]) -> list[list[tuple[int, ...]]]:
    return [[drawn.token_ids for drawn in group] for group in groups]


def scored(sampler: Sampler, groups: list[list[Drawn]]) -> np.ndarray:
    completions = [[Completion("", drawn.token_ids, True) for drawn in group] for group in groups]
    return np.concatenate(sampler.scorer.log_probs(PROMPTS, completions))


def told(groups: list[list[Drawn]]) -> np.ndarray:
    return np.array([sum(drawn.log_probs or ()) for group in groups for drawn in group])


def test_it_is_found_by_its_name_and_described_by_it(bench: Bench) -> None:
    engine = resolve_engine(bench.engine, "sampling.engine")
    assert bench.engine["name"] in ENGINES.names()
    assert resolve_engine(describe(engine), "again") == engine
    engine.require()


@pytest.mark.parametrize("kind", ["whole", "adapter"])
def test_the_log_probabilities_that_it_draws_by_are_the_scorers(bench: Bench, kind: str) -> None:
    lora = outside_engines.LORA if kind == "adapter" else None
    store = bench.store(lora=lora)
    for checkpoint in (store.initial, bench.folder / kind / "x", bench.folder / kind / "xx", store.initial):
        sampler = store.sampler(checkpoint)
        found = sampler.check(PROMPTS)
        assert sampler.agreement is found
        assert found.sampler.largest < 1e-4
        drawn = sampler.draw(NUMBERED, 4, seed=1, log_probs=True)
        assert told(drawn) == pytest.approx(scored(sampler, drawn), abs=1e-3)
        sampler.rest()


@pytest.mark.parametrize(
    "decoding",
    [Decoding(0.7, 1.0, 8), Decoding(1.0, 0.8, 8), Decoding(1.3, 0.5, 8)],
    ids=["cold", "nucleus", "both"],
)
def test_what_is_done_to_the_policy_is_what_the_recipe_says(bench: Bench, decoding: Decoding) -> None:
    assert bench.store(decoding=decoding).sampler(bench.base).check(PROMPTS).sampler.largest < 1e-4


def test_the_same_seed_draws_the_same_and_another_another(bench: Bench) -> None:
    store = bench.store()
    sampler = store.sampler(bench.folder / "whole" / "x")
    first = sampler.draw(NUMBERED, 4, seed=1, log_probs=True)
    assert tokens(sampler.draw(NUMBERED, 4, seed=1)) == tokens(first)
    assert [[c.token_ids for c in g] for g in sampler.answers(NUMBERED, 4, seed=1)] == tokens(first)
    assert tokens(sampler.draw(NUMBERED, 4, seed=2)) != tokens(first)
    assert len({drawn for group in tokens(first) for drawn in group}) > 6, "each answer is a draw of its own"
    twice = tokens(sampler.draw([(0, PROMPTS[0]), (1, PROMPTS[0])], 4, seed=1))
    assert twice[0] != twice[1], "a prompt that comes twice is answered anew"
    close_engine()
    assert tokens(sampler.draw(NUMBERED, 4, seed=1)) == tokens(first), "an engine that was started again"


def test_a_checkpoint_draws_its_own_answers_whatever_was_open_before(bench: Bench) -> None:
    store = bench.store()
    x, xx = (store.sampler(bench.folder / "whole" / name) for name in ("x", "xx"))
    first, other = tokens(x.draw(NUMBERED, 4, seed=1)), tokens(xx.draw(NUMBERED, 4, seed=1))
    assert first != other
    assert tokens(x.draw(NUMBERED, 4, seed=1)) == first


def test_answers_end_with_an_end_token_or_at_their_limit(bench: Bench) -> None:
    sampler = bench.store(decoding=Decoding(max_new_tokens=12)).sampler(bench.base)
    drawn = [d for group in sampler.draw(NUMBERED, 8, seed=3, log_probs=True) for d in group]
    assert set(sampler.scorer.end_tokens) == set(ENDS)
    assert all(not set(d.token_ids[:-1]) & set(ENDS) for d in drawn)
    ended = [d.token_ids[-1] in ENDS for d in drawn]
    assert any(ended)
    assert not all(ended)
    assert all(end or len(d.token_ids) == 12 for d, end in zip(drawn, ended, strict=True))
    assert all(d.log_probs is not None and len(d.log_probs) == len(d.token_ids) for d in drawn)
    short = [d for group in sampler.draw(NUMBERED, 8, seed=3, longest=2) for d in group]
    assert max(len(d.token_ids) for d in short) == 2


def test_an_engine_of_its_own_process_draws_an_answer_alike_in_any_company(bench: Bench) -> None:
    if not bench.outside:
        pytest.skip("its answers depend on their batch, which is made of whole prompts")
    sampler = bench.store().sampler(bench.base)
    together = tokens(sampler.draw(NUMBERED, 4, seed=1))
    assert tokens(sampler.draw(NUMBERED[2:], 2, seed=1))[0] == together[2][:2]
    assert tokens(sampler.draw(NUMBERED[::-1], 4, seed=1)) == together[::-1]


def test_it_is_looked_at_again_after_every_load(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    if not bench.outside:
        pytest.skip("it holds no weights of its own")
    store, looked = bench.store(), []
    require = door.require_engine
    monkeypatch.setattr(door, "require_engine", lambda *a: looked.append(a[3]) or require(*a))
    for checkpoint, looks in (("x", 1), ("x", 1), ("xx", 2), ("x", 3)):
        store.sampler(bench.folder / "whole" / checkpoint).check(PROMPTS)
        assert len(looked) == looks
    close_engine()
    found = store.sampler(bench.folder / "whole" / "x").check(PROMPTS)
    assert len(looked) == 4
    assert looked[-1].startswith("vllm ")
    assert f"sampler ({looked[-1]}) and scorer agree" in found.line()
