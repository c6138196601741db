"""What every judge keeps, found through the registry; a judge without a builder below fails here."""

import json
import pickle
import random
import subprocess
import sys

import pytest

import scripted_server
import tiny_models
from comal.errors import JudgeError
from comal.judges.base import Comparison
from comal.judges.words.models import release
from comal.plugins import JUDGES, describe

REVIEWERS = [
    {"name": "docstring_style", "ranking": ranking}
    for ranking in (
        ["command", "description", "label"],
        ["description", "label", "command"],
        ["label", "command", "description"],
    )
]
ANSWERS = ["Return it.", "Returns the size of it.", "The size.", "", "no stop <|eos|>"]
GAME = [[0.5, 0.1, 0.8], [0.9, 0.5, 0.1], [0.2, 0.9, 0.5]]
COMPARISONS = [Comparison("Describe `f`.", a, b) for a in ANSWERS for b in ANSWERS]

BUILDERS = {
    "committee": lambda folder: {"members": REVIEWERS, "weights": [1, 2, 1]},
    "docstring_style": lambda folder: {"ranking": REVIEWERS[0]["ranking"]},
    "matrix": lambda folder: {"games": {"Describe `f`.": GAME}, "answers": ANSWERS[:3]},
    "openai": lambda folder: {"model": "m", "base_url": chat_server().url, "min_label_mass": 0.0, "concurrency": 3},
    "pairwise_lm": lambda folder: {
        "model": tiny_models.save_causal_lm(folder / "lm", initializer_range=0.2),
        "min_label_mass": 0.0,
        "batch_size": 3,
    },
    "psi": lambda folder: {"judge": {"name": "committee", "members": REVIEWERS}, "exponent": 3.0},
    "people": lambda folder: {"file": people_file(folder), "person": "ada"},
    "population": lambda folder: {"members": REVIEWERS, "weights": [1, 2, 1], "names": ["a", "b", "c"]},
    "python": lambda folder: {"function": "judge_functions:longer", "symmetric": True},
    "reward_model": lambda folder: {
        "models": [tiny_models.save_reward_model(folder / f"rm{seed}", seed=seed) for seed in (0, 1)],
        "weights": [3, 1],
        "batch_size": 3,
    },
    "rules": lambda folder: {"rules": [{"measure": "valid_json"}, {"measure": "characters", "prefer": "less"}]},
}
SERVERS = []


def people_file(folder):
    rows = [
        {"prompt": c.prompt, "first": c.first, "second": c.second, "ada": "first" if len(c.first) > 3 else "second"}
        for c in COMPARISONS
        if c.first < c.second
    ]
    path = folder / "people.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def chat_server():
    SERVERS.append(scripted_server.ChatServer(scripted_server.log_probs))
    return SERVERS[-1]


@pytest.fixture(scope="module", params=JUDGES.names())
def judge(request, tmp_path_factory):
    assert request.param in BUILDERS, f"give the new judge `{request.param}` a builder in BUILDERS"
    settings = BUILDERS[request.param](tmp_path_factory.mktemp(request.param))
    yield JUDGES.build({"name": request.param} | settings, "judge")
    release()
    while SERVERS:
        SERVERS.pop().close()


def test_verdicts_are_probabilities_one_a_comparison(judge):
    verdicts = judge.compare(COMPARISONS)
    assert len(verdicts) == len(COMPARISONS)
    assert all(p is None or (isinstance(p, float) and 0 <= p <= 1) for p in verdicts)
    assert len(set(verdicts)) > 1
    assert judge.compare([]) == []


def test_verdicts_do_not_depend_on_order_or_company(judge):
    verdicts = judge.compare(COMPARISONS)
    assert judge.compare(COMPARISONS) == verdicts
    order = random.Random(0).sample(range(len(COMPARISONS)), len(COMPARISONS))
    assert judge.compare([COMPARISONS[i] for i in order]) == [verdicts[i] for i in order]
    alone = [judge.compare([comparison])[0] for comparison in COMPARISONS[:8]]
    assert alone == pytest.approx(verdicts[:8], abs=1e-5)  # other batches round differently


def test_the_claim_of_symmetry_holds(judge):
    forth = judge.compare(COMPARISONS)
    back = judge.compare([comparison.swapped() for comparison in COMPARISONS])
    if judge.symmetric:
        assert [p + q for p, q in zip(forth, back, strict=True)] == pytest.approx([1.0] * len(forth), abs=1e-9)


def test_a_judge_is_a_value(judge):
    judge.check()
    copy = pickle.loads(pickle.dumps(judge))
    assert copy == judge == JUDGES.build(describe(judge), "judge")
    assert copy.fingerprint() == judge.fingerprint()
    assert copy.compare(COMPARISONS[:4]) == judge.compare(COMPARISONS[:4])


def test_importing_judges_loads_no_torch():
    modules = ", ".join(
        f"comal.judges.{name}" for name in [*JUDGES.names(), "asking.oracle", "asking.tables", "words.models"]
    )
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "spec", [{"name": "reward_model", "models": ["./absent"]}, {"name": "pairwise_lm", "model": "/no/such/model"}]
)
def test_a_missing_model_is_named_without_loading_anything(spec):
    judge = JUDGES.build(spec, "judge")
    for ask in (judge.check, lambda: judge.compare(COMPARISONS[:1])):
        with pytest.raises(JudgeError, match=r"absent|/no/such/model"):
            ask()
