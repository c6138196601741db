"""Score the answers of models in folders in shards, in each of several processes, and account for what is read.

    python score_in_shards.py FOLDER...

Prints one JSON object a folder: bytes of the whole model, of this process's parts before and after they computed, of
all pieces of the checkpoint that it read, and log-probabilities.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from torch.distributed.tensor import DTensor
from transformers.distributed.sharding_utils import DtensorShardOperation

import stores
from comal.pipeline.processes.distributed import state
from comal.pipeline.step.samples import Samples, score
from comal.policies import head, sequences
from comal.policies.base import Completion, Prompt

CHUNK = head.CHUNK
shard_tensor = DtensorShardOperation.shard_tensor


def samples() -> Samples:
    """Three chunks of two prompts: one process of two has one of them more than the other."""
    prompts = tuple(Prompt.of_text(f"prompt {'x' * i}") for i in range(6))
    answers = tuple(
        tuple(Completion("", tuple(range(5 + i + k, 9 + i + 2 * k)), True) for k in range(2)) for i in range(6)
    )
    return Samples(prompts, answers)


def main(folder: str) -> dict[str, Any]:
    read: list[int] = []

    def noted(self: DtensorShardOperation, *args: Any, **kwargs: Any) -> Any:
        found = shard_tensor(self, *args, **kwargs)
        read.append(found.nbytes)
        return found

    DtensorShardOperation.shard_tensor = noted
    policy = stores.store(folder, score=4, in_shards=True).scorer(folder)
    parameters = list(policy.model.parameters())
    assert all(isinstance(p, DTensor) for p in parameters)

    def local() -> int:
        return sum(p.to_local().nbytes for p in policy.model.parameters())

    found = {
        "whole": sum(p.numel() * 4 for p in parameters),
        "local": local(),
        "read": sum(read),
        "logp": score(policy, samples()).tolist(),
        "ends": policy.end_tokens,
    }
    sequences.CHUNK = head.CHUNK = 500  # less than the logits of one answer
    assert head.head_of(policy.model) is not None, "found out although it is in shards"
    found |= {"in_chunks": score(policy, samples()).tolist(), "after": local()}
    sequences.CHUNK = head.CHUNK = CHUNK
    return found


if __name__ == "__main__":
    assert state().num_processes > 1
    for folder in sys.argv[1:]:
        print(json.dumps(main(folder)))
