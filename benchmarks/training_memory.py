"""Peak memory and speed of a training step with a large vocabulary: comal against TRL's DPOTrainer, in one run.

    OMP_NUM_THREADS=2 python benchmarks/training_memory.py [--vocabulary 150000] [--answers 16] [--tokens 96]

Every way trains the same randomly initialised Llama on the same answers, on CPUs, in a process of its own: its peak is
the resident memory of that process, less what the same process held before it made the model. TRL gets half as many
pairs, in one micro-batch, with precomputed log-probabilities of the reference, as comal's are. `all logits` is comal
without chunks, as it was. The goal is at most 0.6 of TRL's peak. Needs `pip install '.[trl]'`.

Measured with torch 2.13 and TRL 1.16 on one thread of a busy two-core machine, one step: comal 0.41 GB, with
share_prompt 0.40 GB, all logits 4.76 and 4.71 GB, TRL 4.17 GB: 0.10 of TRL's peak, where it was 1.14. Seconds of that
step, which depend on what else the machine did: 17 and 26, 17 and 17, TRL 103.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WAYS = ("comal", "comal, share_prompt", "all logits", "all logits, share_prompt", "TRL DPO")
K = 4
WORDS = 1000  # of the vocabulary that answers are made of: a large tokenizer is slow to make, and no matter here


def peak() -> int:
    """Bytes of resident memory at the most, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def make_model(vocabulary: int) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, tie_word_embeddings=True, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        )
    )  # fmt: skip


def rows(options: argparse.Namespace) -> tuple[list[list[int]], list[list[list[int]]]]:
    """Prompts, and K answers to each: token ids."""
    import numpy as np

    rng = np.random.default_rng(0)
    count = options.answers // K * options.steps
    draw = lambda *shape: rng.integers(3, WORDS, size=shape).tolist()  # noqa: E731
    return draw(count, options.tokens), draw(count, K, options.tokens)


def ours(options: argparse.Namespace, output: Path, share_prompt: bool, chunks: bool) -> dict[str, float]:
    import numpy as np

    from comal.losses.group import Group as GroupLoss
    from comal.pipeline.training.trainers import Group, TrainerSetup, train_prox
    from comal.policies import head, sequences
    from comal.recipes.settings import TrainingSettings

    if not chunks:
        head.CHUNK = sequences.CHUNK = 10**18
    prompts, answers = rows(options)
    logp, rates = np.zeros(K), np.linspace(0.9, 0.1, K)
    groups = [
        Group(tuple(p), tuple(map(tuple, a)), logp, logp, logp, rates) for p, a in zip(prompts, answers, strict=True)
    ]
    settings = TrainingSettings(
        prompts_per_batch=options.answers // K, share_prompt=share_prompt, learning_rate=1e-5, max_grad_norm=1.0
    )
    before = peak()
    model = make_model(options.vocabulary)
    begun = time.perf_counter()
    train_prox(model, groups, GroupLoss(), 1.0, TrainerSetup(settings, 0, output), pad=0)
    return {"seconds": time.perf_counter() - begun, "bytes": peak() - before}


def trl(options: argparse.Namespace, output: Path) -> dict[str, float]:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    prompts, answers = rows(options)
    text = lambda ids: " ".join(f"w{i}" for i in ids)  # noqa: E731
    pairs = [
        {"prompt": text(prompt), "chosen": " " + text(group[i]), "rejected": " " + text(group[i + 1])}
        for prompt, group in zip(prompts, answers, strict=True)
        for i in range(0, K, 2)
    ]
    arguments = DPOConfig(
        output_dir=str(output), per_device_train_batch_size=options.answers // 2, num_train_epochs=1, report_to="none",
        learning_rate=1e-5, precompute_ref_log_probs=True, gradient_checkpointing=False, bf16=False, use_cpu=True,
        save_strategy="no", logging_strategy="no", disable_tqdm=True, dataloader_pin_memory=False, max_length=None,
    )  # fmt: skip
    before = peak()
    trainer = DPOTrainer(
        model=make_model(options.vocabulary),
        args=arguments,
        train_dataset=Dataset.from_list(pairs),
        processing_class=tokenizer(),
    )
    begun = time.perf_counter()
    trainer.train()
    return {"seconds": time.perf_counter() - begun, "bytes": peak() - before}


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(WORDS)}, unk_token="w3"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", bos_token="w1", eos_token="w2")


def measure(way: str, options: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as output:
        if way == "TRL DPO":
            return trl(options, Path(output))
        return ours(options, Path(output), "share_prompt" in way, "all logits" not in way)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Peak memory of a training step against TRL's.")
    arguments.add_argument("--vocabulary", type=int, default=150_000)
    arguments.add_argument("--answers", type=int, default=16, help="at once")
    arguments.add_argument("--tokens", type=int, default=96, help="of a prompt, and of an answer")
    arguments.add_argument("--steps", type=int, default=2)
    arguments.add_argument("--way", choices=WAYS)
    options = arguments.parse_args()
    if options.way is not None:
        print(json.dumps(measure(options.way, options)))
        return
    found = {}
    for way in WAYS:
        command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{way}: {done.stderr[-2000:]}")
        found[way] = json.loads(done.stdout.splitlines()[-1])
    theirs = found["TRL DPO"]
    print(f"{'':26}   peak GB   of TRL's   answers a second   of TRL's")
    for way, one in found.items():
        speed = options.answers * options.steps / one["seconds"]
        print(
            f"{way:26}   {one['bytes'] / 1e9:7.2f}   {one['bytes'] / theirs['bytes']:8.2f}   {speed:16.2f}   "
            f"{theirs['seconds'] / one['seconds']:8.2f}"
        )


if __name__ == "__main__":
    main()
