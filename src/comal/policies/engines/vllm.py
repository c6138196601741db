"""Answers by vLLM, in a process and a Python of its own; it opens the checkpoints that a run leaves.

vLLM pins other versions of PyTorch and Transformers than comal works with, and accelerators must be free while a policy
is trained. So an offline engine runs beside comal, one a process (or one across `tensor_parallel_size` of them), and is
told what to open: whole models are read from their folders into the running engine, where its version can, and adapters
are given with each request; otherwise it is started again. No weights are sent, so none can be forgotten.

Sampling is what the recipe says and nothing else: the model's own generation settings are not read, end tokens are
those that the scoring path knows, and prompts go as token ids. The log-probabilities that the check at the door reads
are those of the distribution that is drawn from (`processed_logprobs`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from comal.errors import PolicyError
from comal.policies.engines.base import PLACE, Engine, Opening, Sampler
from comal.policies.engines.outside.process import EngineProcess
from comal.policies.engines.outside.running import Held, RunningEngine, running
from comal.policies.engines.outside.sampler import OutsideSampler, Share
from comal.reading.paths import user_path

if TYPE_CHECKING:
    from comal.policies.transformers import TransformersPolicy

_WORKER = Path(__file__).parent / "outside" / "vllm_worker.py"
_RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks of adapters that vLLM makes room for."""
_COLDEST = 0.01
"""vLLM raises lower temperatures to this one."""
_OURS: Final = frozenset({
    "model", "revision", "tokenizer", "tokenizer_revision", "dtype", "trust_remote_code", "max_model_len",
    "max_num_seqs", "tensor_parallel_size", "gpu_memory_utilization", "kv_cache_memory_bytes", "enforce_eager",
    "enable_lora", "max_lora_rank", "max_loras", "generation_config", "logprobs_mode", "skip_tokenizer_init", "seed",
    "enable_sleep_mode",
})  # fmt: skip
_OF_TORCHRUN: Final = (
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK",
    "ROLE_WORLD_SIZE", "ROLE_NAME", "MASTER_ADDR", "MASTER_PORT",
)  # fmt: skip
_INSTALL = "install vLLM there, or name a Python that has it by sampling.engine.python"
_HINTS: Final = (
    (r"No module named '?vllm", _INSTALL),
    (
        r"(?i)out ?of ?memory|No available memory|less than desired (GPU|CPU) memory|larger than the available KV cache"
        r"|bad_alloc|SIGKILL",
        f"lower {PLACE}.gpu_memory_utilization or {PLACE}.kv_cache_gib, sampling.batch_size or policy.max_new_tokens,"
        f" or raise {PLACE}.tensor_parallel_size",
    ),
    (
        r"(?i)architectures? .* (is|are) not supported|not supported for now|Unsupported head|head size",
        "this vLLM cannot run such a model; use another version of it, or `engine: transformers`",
    ),
    (r"unexpected keyword argument|Unexpected keyword", f"{PLACE}.arguments takes arguments of this vLLM's `LLM`"),
)


@dataclass(frozen=True, slots=True)
class VLLM(Engine):
    """An offline vLLM engine, one a process or one across several accelerators.

    Every answer has a seed of its own, from its prompt's place and its number, so the answers that it is batched with
    change it by rounding at most, and not at all where the hardware has batch-invariant kernels. A number of answers
    that are generated at once is `sampling.batch_size`.

    Attributes:
        python: the Python that has vLLM; by default the one that runs comal.
        tensor_parallel_size: accelerators that one engine is spread over.
        gpu_memory_utilization: share of an accelerator's memory that it takes; half of it by default, since the policy
            that is scored and trained lies beside it.
        kv_cache_gib: memory of its cache instead, in GiB; on CPUs 1 by default.
        enforce_eager: leave graphs and compilation out; by default on CPUs only.
        reload: read the next checkpoint's weights into the running engine, where this vLLM can; false starts it again.
        start_timeout: seconds that it may take to start.
        arguments: anything else of `vllm.LLM`.

    Raises:
        ValueError: options that make no sense.
    """

    python: str | None = None
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float | None = None
    kv_cache_gib: float | None = None
    enforce_eager: bool | None = None
    reload: bool = True
    start_timeout: float = 1800.0
    arguments: Mapping[str, Any] = field(default_factory=dict)

    outside: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.tensor_parallel_size < 1:
            raise ValueError(f"tensor_parallel_size: need at least 1, got {self.tensor_parallel_size}")
        share = self.gpu_memory_utilization
        if share is not None and not 0 < share <= 1:
            raise ValueError(f"gpu_memory_utilization: need a share above 0, up to 1, got {share}")
        if self.kv_cache_gib is not None and not self.kv_cache_gib > 0:
            raise ValueError(f"kv_cache_gib: need a number above 0, got {self.kv_cache_gib}")
        if share is not None and self.kv_cache_gib is not None:
            raise ValueError("kv_cache_gib: is given instead of gpu_memory_utilization; leave one of them out")
        if not self.start_timeout > 0:
            raise ValueError(f"start_timeout: need a number of seconds above 0, got {self.start_timeout}")
        if taken := sorted(_OURS & self.arguments.keys()):
            raise ValueError(f"arguments: {', '.join(taken)} is set from the recipe or by an option of this engine")

    @property
    def harmless(self) -> frozenset[str]:
        """Where it lies, how much memory it takes, how long one waits for it."""
        return frozenset({"python", "gpu_memory_utilization", "kv_cache_gib", "reload", "start_timeout"})

    def memory(self, weights: int, answers: int) -> int:
        """Its part of the weights, and the cache that it is given; of a share of the accelerator what answers need."""
        width = self.tensor_parallel_size
        cache = answers // width if self.kv_cache_gib is None else int(self.kv_cache_gib * 2**30)
        return weights // width + cache

    def require(self) -> None:
        """The Python is there and has vLLM, and there are as many processes as engines need."""
        python = self._python()
        probe = "import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('vllm') else 3)"
        try:
            found = subprocess.run(
                [python, "-c", probe], env=self._environment(), capture_output=True, text=True, timeout=120, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PolicyError(f"{PLACE}.python", f"`{python}` cannot be started ({error}); name a Python") from error
        if found.returncode == 3:
            raise PolicyError(f"{PLACE}.python", f"`{python}` has no vLLM; {_INSTALL}")
        if found.returncode != 0:
            said = (found.stderr.strip().splitlines() or ["no message"])[-1]
            raise PolicyError(f"{PLACE}.python", f"`{python}` is no Python that works ({said}); name another")
        _shares(self.tensor_parallel_size)

    def sampler(self, opening: Opening) -> Sampler:
        """One checkpoint; a mixture would have to mix the logits of several engines.

        Raises:
            PolicyError: several checkpoints, or a temperature that vLLM does not take.
        """
        if len(opening.weights) > 1:
            raise PolicyError(
                PLACE, "vllm draws from one checkpoint, and a mixture of several is asked for; use `transformers`"
            )
        scorer = opening.opened(opening.weights)
        if scorer.decoding.temperature < _COLDEST:
            raise PolicyError(
                "sampling.temperature",
                f"vllm samples at {_COLDEST:g} or more, got {scorer.decoding.temperature:g}; raise it",
            )
        processes, stride, devices = _shares(self.tensor_parallel_size)
        request = {"options": self._options(opening, scorer), "adapters": opening.lora_rank is not None}
        settings = (self._python(), json.dumps(request, sort_keys=True), opening.base, str(opening.log), devices)

        def launch() -> EngineProcess:
            command = [self._python(), str(_WORKER), str(os.getpid())]
            return EngineProcess(command, self._environment(devices), opening.log, "vllm", _hint)

        engine = running(settings, lambda: RunningEngine(settings, launch, request, self.start_timeout, self.reload))
        held = _held(opening)
        suspects = _suspects(opening, held, engine.before if engine.held == held else engine.held)
        return OutsideSampler(scorer, engine, held, "vllm", suspects, Share(processes, stride))

    def _options(self, opening: Opening, scorer: TransformersPolicy) -> dict[str, Any]:
        """Arguments of `vllm.LLM`, all but the model."""
        longest = scorer.encoder.max_tokens + scorer.decoding.max_new_tokens
        config = scorer.model.config.get_text_config(decoder=True)
        positions = getattr(config, "max_position_embeddings", None)
        if isinstance(positions, int) and positions > 0:
            longest = min(longest, positions)
        options: dict[str, Any] = dict(self.arguments) | {
            "dtype": opening.dtype,
            "trust_remote_code": opening.trust_remote_code,
            "max_model_len": longest,
            "max_num_seqs": scorer.decoding.batch_size,
            "tensor_parallel_size": self.tensor_parallel_size,
            "enforce_eager": self.enforce_eager,
            "generation_config": "vllm",
            "logprobs_mode": "processed_logprobs",
            "skip_tokenizer_init": True,
            "seed": 0,
        }
        if opening.revision is not None:
            options["revision"] = opening.revision
        if self.kv_cache_gib is not None:
            options["kv_cache_memory_bytes"] = int(self.kv_cache_gib * 2**30)
        if self.gpu_memory_utilization is not None:
            options["gpu_memory_utilization"] = self.gpu_memory_utilization
        if opening.lora_rank is not None:
            room = next((r for r in _RANKS if r >= opening.lora_rank), None)
            if room is None:
                raise PolicyError(
                    "policy.lora.r", f"vllm takes adapters of rank {_RANKS[-1]} at most, got {opening.lora_rank}"
                )
            options |= {"enable_lora": True, "max_lora_rank": room, "max_loras": 1}
        return options

    def _python(self) -> str:
        if self.python is None:
            return sys.executable
        path = os.path.expanduser(self.python)  # noqa: PTH111 - not resolved: a virtual environment's is a link
        found = shutil.which(path)
        if found is None:
            raise PolicyError(
                f"{PLACE}.python",
                f"there is no program `{self.python}`; give the path of a Python that has vLLM, such as"
                " path/to/venv/bin/python",
            )
        return found

    def _environment(self, devices: str | None = None) -> dict[str, str]:
        """This process's, without what is meant for its own Python and its own torchrun."""
        kept = {k: v for k, v in os.environ.items() if k not in _OF_TORCHRUN and not k.startswith("TORCHELASTIC_")}
        kept = {k: v for k, v in kept.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        # Without a process of the engine's core between: one less to outlive this one, and draws in a fixed order.
        kept |= {"VLLM_NO_USAGE_STATS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
        return kept if devices is None else kept | {"CUDA_VISIBLE_DEVICES": devices}


def _hint(said: str) -> str | None:
    return next((fix for pattern, fix in _HINTS if re.search(pattern, said)), None)


def _shares(width: int) -> tuple[int, int, str | None]:
    """How many processes draw, every how many of them there is one, and the accelerators of this one's engine.

    Raises:
        PolicyError: engines of this width cannot be shared out among the processes.
    """
    from comal.policies.device import on_cpu, state

    processes = state()
    count = processes.num_processes
    if count == 1:
        return 1, 1, None
    if count % width:
        raise PolicyError(
            f"{PLACE}.tensor_parallel_size",
            f"engines across {width} accelerators cannot be shared out among {count} processes; need a divisor of it",
        )
    if on_cpu():
        return count // width, width, None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    mine = range(processes.local_process_index, processes.local_process_index + width)
    names = visible.split(",") if visible else None
    return count // width, width, ",".join(names[i] if names else str(i) for i in mine)


def _held(opening: Opening) -> Held:
    checkpoint = next(iter(opening.weights))
    if opening.lora_rank is None:
        return Held(_whole(checkpoint))
    return Held(_whole(opening.base), None if str(checkpoint) == opening.base else _whole(checkpoint))


def _suspects(opening: Opening, held: Held, before: Held | None) -> dict[str, Callable[[], TransformersPolicy]]:
    """Policies that the engine may be left with instead of what it is to hold, by what to call them."""
    suspects: dict[str, Callable[[], TransformersPolicy]] = {}
    if held.adapter is not None:
        suspects["the base weights instead of the adapter"] = lambda: opening.beside(opening.base)
    earlier = None if before is None or before == held else before.adapter or before.weights
    if earlier == _whole(opening.base):
        suspects["the checkpoint before"] = lambda: opening.beside(opening.base)
    elif earlier is not None and Path(earlier).is_dir():
        suspects["the checkpoint before"] = lambda: opening.beside(earlier)
    return suspects


def _whole(checkpoint: str | Path) -> str:
    """A folder's absolute path; a hub id stays what it is."""
    path = user_path(str(checkpoint))
    return str(path.absolute()) if path.is_dir() else str(checkpoint)
