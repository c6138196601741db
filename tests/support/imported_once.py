"""Importing this imports what runs and certificates need, for a process whose forks then need not do it each."""

from __future__ import annotations

import atexit
import gc
import importlib
import pkgutil
from contextlib import ExitStack

import comal
from comal.pipeline.processes.garbage import young_garbage_only

_LIBRARIES = (
    "accelerate", "datasets", "matplotlib.figure", "pandas", "peft", "pyarrow.parquet", "rich._emoji_codes",
    "scipy.optimize", "scipy.stats", "tenacity", "torch.profiler._cupti_monitor", "torch.utils.serialization.config",
    "transformers.models.llama.modeling_llama", "transformers.models.qwen2.modeling_qwen2", "transformers.trainer",
)  # fmt: skip
_ELSEWHERE = {"comal.__main__", "comal.pipeline.worker", "comal.pipeline.step.online"}
"""What `python -m` executes, and what needs TRL."""

gc.disable()  # importing makes no garbage
for name in _LIBRARIES:
    importlib.import_module(name)
for module in pkgutil.walk_packages(comal.__path__, "comal."):
    if module.name not in _ELSEWHERE:
        importlib.import_module(module.name)
gc.enable()
TO_THE_END = ExitStack()
TO_THE_END.enter_context(young_garbage_only())  # a fork's collector leaves alone what all share
atexit.register(TO_THE_END.close)
