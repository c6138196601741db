"""What `comal plan --calibrate` says that a run takes, and what it takes: three small runs of different kinds.

    python benchmarks/plan_vs_run.py [demo lora long] --folder DIR [--steps 2]

Compared are the seconds of processors, of all processes together: those that pass say as much of what else the machine
does. Minutes each, fewer with fewer `--steps`; a run that is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from comal.recipes.load import load_recipe

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

NOUNS = "file queue thread socket record table cursor buffer token header parser stream window matrix vector signal"
VERBS = "open close read write find load save send make drop join split sort merge count check"


def demo(folder: Path) -> list[str]:
    """The embedded recipe with its three methods side by side, for six steps."""
    del folder
    changes = {"steps": 6, "evaluation.every": 3, "evaluation.test_prompts": 100, "evaluation.validation_prompts": 50}
    return ["docstrings", *(part for key, value in changes.items() for part in ("--set", f"{key}={value}"))]


def lora(folder: Path) -> list[str]:
    """Adapters of a random model of six layers, which hardly ever ends an answer before the limit of 32 tokens."""
    import tiny_models

    model = tiny_models.save_causal_lm(folder / "model", architecture="qwen2", hidden_size=256, layers=6)
    rows = [{"prompt": f"def {v}_{n}(self, {n}, default=None):"} for v in VERBS.split() for n in NOUNS.split()]
    parts = {"train": rows[:160], "validation": rows[160:200], "test": rows[200:]}
    for name, some in parts.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
    return written(
        folder,
        name="lora",
        policy={"model": model, "lora": {"r": 8, "alpha": 16}, "max_prompt_tokens": 64, "max_new_tokens": 32},
        prompts={name: {"source": str(folder / f"{name}.jsonl")} for name in parts},
        algorithm={
            "name": "comal", "inner": {"name": "inpo", "eta": 2.0, "tau": 0.2}, "inner_steps": 2, "update": "copy",
        },
        steps=4,
        sampling={"prompts": 48, "samples": 4, "batch_size": 64},
        training={
            "loss": "group", "learning_rate": 2e-4, "prompts_per_batch": 8, "monitor": 0.1, "log_prob_batch": 64,
        },
        evaluation={
            "every": 2, "validation_prompts": 16, "test_prompts": 32, "samples": 4, "best_of": [4], "pool_size": 1,
        },
    )  # fmt: skip


def long(folder: Path) -> list[str]:
    """A model from scratch with answers of up to 64 tokens."""
    source = "task:docstrings?words=40"
    splits = {"train": "alignment", "validation": "validation", "test": "test"}
    shape = {"vocab_size": 2048, "hidden_size": 96, "intermediate_size": 192, "layers": 2, "heads": 3}
    return written(
        folder,
        name="long",
        policy={
            "from_scratch": shape | {"max_positions": 256}, "max_prompt_tokens": 64, "max_new_tokens": 64,
        },
        supervised={
            "data": {"source": source, "split": "supervised", "limit": 3000}, "epochs": 1.5, "learning_rate": 3e-3,
            "batch_size": 32,
        },
        prompts={use: {"source": source, "split": split} for use, split in splits.items()},
        algorithm={"name": "inpo", "eta": 5.0, "tau": 0.1},
        steps=3,
        sampling={"prompts": 32, "samples": 4, "batch_size": 128},
        training={
            "loss": "group", "learning_rate": 5e-4, "prompts_per_batch": 8, "monitor": 0.1, "log_prob_batch": 96,
            "share_prompt": True, "keep_optimizer": True,
        },
        evaluation={
            "every": 3, "validation_prompts": 16, "test_prompts": 24, "samples": 4, "best_of": [4], "pool_size": 1,
        },
    )  # fmt: skip


CASES = {"demo": demo, "lora": lora, "long": long}


def written(folder: Path, **values: Any) -> list[str]:
    path = folder / "recipe.yaml"
    path.write_text(
        yaml.safe_dump(values | {"judge": load_recipe("docstrings").judge, "threads": 1}, sort_keys=False),
        encoding="utf-8",
    )
    return [str(path)]


def comal(*arguments: str) -> tuple[str, float]:
    """What a command prints, and the seconds of processors that it and its workers took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, "-m", "comal", *arguments], stdout=subprocess.PIPE, text=True, check=True, env=one_thread
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--folder", type=Path, default=Path("runs/plan-vs-run"))
    parser.add_argument("--steps", type=int, help="of each run, instead of its own number; a folder is of one number")
    options = parser.parse_args()
    print("| run | calibration took | planned | taken | planned / taken |\n|---|--:|--:|--:|--:|")
    for name in options.cases or CASES:
        folder = options.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        recipe = CASES[name](folder)
        if options.steps is not None:
            recipe += ["--set", f"steps={options.steps}", "--set", f"evaluation.every={options.steps}"]
        plan, took = comal("plan", *recipe, "--calibrate", "--json")
        planned = json.loads(plan)["calibration"]["cpu_seconds"]
        _, taken = comal("run", *recipe, "--output-dir", str(folder / "run"))
        print(f"| {name} | {took:.0f} s | {planned:.0f} s | {taken:.0f} s | {planned / taken:.2f} |", flush=True)


if __name__ == "__main__":
    main()
