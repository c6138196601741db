"""The process that vLLM runs in: requests in, one line of JSON each, replies out.

Run by path in a Python that needs vLLM and nothing of comal: `python vllm_worker.py PID`, with the number of the
process that it belongs to. Whatever vLLM prints goes to standard error; standard output is for replies alone.

    {"do": "start", "model", "options", "adapters"}     -> {"version", "device", "sleeps", "reloads", "in_effect"}
    {"do": "open", "weights" | "adapter": PATH | null}  -> {}
    {"do": "draw", "prompts", "seeds", "sampling"}      -> {"answers": [{"tokens", "log_probs"}]}
    {"do": "rest"}                                      -> {}

Every reply says in `spent` what the process has taken so far: seconds of processors, and the most bytes that it held.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import resource
import signal
import sys
import threading
import time
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - no more imports than it takes
_DEATH_OF_PARENT = 1  # PR_SET_PDEATHSIG


class Worker:
    """vLLM, once it is started."""

    def __init__(self) -> None:
        self.llm: Any = None
        self.adapter: Any = None
        self.asleep = False
        self.on_cpu = False
        self.opened = 0

    def start(self, model: str, options: dict[str, Any], adapters: bool) -> dict[str, Any]:
        """Import vLLM and load a model."""
        import vllm
        from vllm.platforms import current_platform

        self.on_cpu = on_cpu = bool(current_platform.is_cpu())
        if not on_cpu and current_platform.is_cuda() and current_platform.has_device_capability(90):
            os.environ.setdefault("VLLM_BATCH_INVARIANT", "1")
        sleeps = bool(current_platform.is_sleep_mode_available())
        if sleeps and hasattr(current_platform, "is_cumem_allocator_available"):
            sleeps = bool(current_platform.is_cumem_allocator_available())
        given = dict(options)
        if given.get("enforce_eager") is None:
            given["enforce_eager"] = on_cpu
        if "kv_cache_memory_bytes" not in options and "gpu_memory_utilization" not in options:
            given |= {"kv_cache_memory_bytes": 2**30} if on_cpu else {"gpu_memory_utilization": 0.5}
        if sleeps:
            given["enable_sleep_mode"] = True
        self.llm = vllm.LLM(model=model, **given)
        return {
            "version": vllm.__version__,
            "device": current_platform.device_type,
            "sleeps": sleeps,
            "reloads": not adapters and self._reloads() and (not on_cpu or options.get("tensor_parallel_size", 1) == 1),
            "in_effect": self._in_effect(),
        }

    def open(self, weights: str | None = None, adapter: str | None = None) -> dict[str, Any]:
        """Take the weights of a checkpoint, or an adapter; neither: the model as it was started."""
        self._wake()
        if weights is not None:
            self.llm.collective_rpc("reload_weights", kwargs={"weights_path": weights})
            if self.on_cpu:
                self.llm.apply_model(_pack_heads)
        self.adapter = None
        if adapter is not None:
            from vllm.lora.request import LoRARequest

            self.opened += 1  # a number of its own for every opening: nothing that is cached under another is taken
            self.adapter = LoRARequest(f"adapter-{self.opened}", self.opened, adapter)
        return {}

    def draw(self, prompts: list[list[int]], seeds: list[int], sampling: dict[str, Any]) -> dict[str, Any]:
        """One answer a prompt and seed."""
        from vllm import SamplingParams

        self._wake()
        # What is cached of earlier prompts would make this draw depend on them by rounding.
        self.llm.reset_prefix_cache()
        parameters = [SamplingParams(seed=seed, **sampling) for seed in seeds]
        given = [{"prompt_token_ids": prompt} for prompt in prompts]
        outputs = self.llm.generate(given, parameters, use_tqdm=False, lora_request=self.adapter)
        answers = []
        for prompt, output in zip(prompts, outputs, strict=True):
            if list(output.prompt_token_ids) != prompt:
                raise RuntimeError("vLLM was shown other tokens than it was given")
            answer = output.outputs[0]
            tokens = list(answer.token_ids)
            told = None
            if answer.logprobs is not None:
                told = [step[token].logprob for step, token in zip(answer.logprobs, tokens, strict=True)]
            answers.append({"tokens": tokens, "log_probs": told})
        return {"answers": answers}

    def rest(self) -> dict[str, Any]:
        """Free the accelerator's memory; the weights wait in the machine's."""
        if not self.asleep:
            self.llm.sleep(level=1)
            self.asleep = True
        return {}

    def _wake(self) -> None:
        if self.asleep:
            self.llm.wake_up()
            self.asleep = False

    def _reloads(self) -> bool:
        import inspect

        try:
            from vllm.v1.worker.gpu_model_runner import GPUModelRunner

            return "weights_path" in inspect.signature(GPUModelRunner.reload_weights).parameters
        except (ImportError, AttributeError):
            return False

    def _in_effect(self) -> dict[str, Any]:
        config = self.llm.llm_engine.vllm_config
        return {
            "max_model_len": config.model_config.max_model_len,
            "logprobs_mode": str(
                getattr(config.model_config.logprobs_mode, "value", config.model_config.logprobs_mode)
            ),
            "dtype": str(config.model_config.dtype).replace("torch.", ""),
            "tensor_parallel_size": config.parallel_config.tensor_parallel_size,
            "max_num_seqs": config.scheduler_config.max_num_seqs,
        }


def _pack_heads(model: Any) -> None:
    """Bring the packed copies of heads up to date, which vLLM keeps on CPUs.

    Reloading weights leaves them as they were where a head is one matrix with the embedding (seen in 0.32).
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for layer in model.modules():
        if isinstance(layer, ParallelLMHead):
            layer.quant_method.process_weights_after_loading(layer)


def main() -> None:
    """Serve requests until there are no more, or nobody is left to make them."""
    parent = int(sys.argv[1])
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path[:] = [p for p in sys.path if os.path.abspath(p) != _HERE]  # noqa: PTH100
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    worker = Worker()
    while True:
        request = json.loads(requests.get())
        work = getattr(worker, request.pop("do"))
        try:
            reply = work(**request)
        except BaseException as error:
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
            reply = {"error": f"{type(error).__name__}: {error}"}
        reply["spent"] = _spent()
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _spent() -> dict[str, Any]:
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"cpu": time.process_time(), "held": held if sys.platform == "darwin" else held * 1024}


def _read(requests: queue.Queue[str]) -> None:
    """Hand requests over; at their end, which may come while vLLM is at work, everything ends."""
    for line in sys.stdin:
        requests.put(line)
    _end()


def _die_with(parent: int) -> None:
    """End with the process that this one belongs to, however it ends."""
    if sys.platform == "linux":
        # At the latest when Python comes to run again; vLLM may keep it from that for long.
        ctypes.CDLL(None, use_errno=True).prctl(_DEATH_OF_PARENT, signal.SIGKILL)
    while os.getppid() == parent:
        time.sleep(1)
    _end()


def _end() -> None:
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
