"""`comal` that trains by DeepSpeed on CPUs, and says what part of the weights this process holds.

DeepSpeed can (by gloo, with DS_ACCELERATOR=cpu), but Accelerate leaves it out on CPUs, so that comal refuses it there.
What it would compile for them, which takes minutes, is left out too.
"""

import os
import sys

import deepspeed  # noqa: F401 - before what is changed of it

from comal.cli import main
from comal.pipeline.training import arguments, trainers

sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None
create, require = trainers.QuietTrainer.create_accelerator_and_postprocess, trainers.require_sharded


def with_deepspeed(self):
    asked = os.environ.pop("ACCELERATE_USE_CPU")
    create(self)
    os.environ["ACCELERATE_USE_CPU"] = asked


def told(trainer, model):
    require(trainer, model)
    parts = [p for p in model.parameters() if hasattr(p, "ds_tensor")]
    if parts:
        part = sum(p.ds_tensor.numel() for p in parts) / sum(p.ds_numel for p in parts)
        print(f"trains {part:.2f} of it", file=sys.stderr)


arguments.refuse_unsharded = lambda *_: None
trainers.QuietTrainer.create_accelerator_and_postprocess = with_deepspeed
trainers.require_sharded = told
main()
