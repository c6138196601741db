"""As much of vLLM as comal's worker asks for, on a Llama in NumPy: starts in a blink, and computes by itself.

Faults are planted by FAKE_VLLM_FAULT; see `FAULTS` in `outside_engines`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from safetensors.numpy import load_file

__version__ = "0.0.fake"
_FAULT, _, _DETAIL = os.environ.get("FAKE_VLLM_FAULT", "").partition("=")


@dataclass
class SamplingParams:
    seed: int
    temperature: float
    top_p: float
    max_tokens: int
    stop_token_ids: list[int] = field(default_factory=list)
    ignore_eos: bool = False
    detokenize: bool = True
    logprobs: int | None = None


class LLM:
    def __init__(
        self, model, *, dtype, max_model_len, max_num_seqs, tensor_parallel_size, logprobs_mode, enable_lora=False,
        generation_config, skip_tokenizer_init, trust_remote_code, enforce_eager, kv_cache_memory_bytes, seed,
        max_lora_rank=16, max_loras=1, revision=None,
    ):  # fmt: skip
        print(f"vLLM says whatever it likes, even on standard output: {model}")
        assert generation_config == "vllm"
        assert enforce_eager
        if _FAULT == "memory":
            raise ValueError("Free memory on device is less than desired GPU memory utilization")
        if _FAULT == "hang":
            time.sleep(10_000)
        config = json.loads((Path(model) / "config.json").read_text())
        if config["architectures"] != ["LlamaForCausalLM"] or _FAULT == "architecture":
            raise ValueError(f"Model architectures {config['architectures']} are not supported for now")
        length = 7 if _FAULT == "short" else max_model_len
        self.config, self.enable_lora = config, enable_lora
        self.weights = load_file(Path(model) / "model.safetensors")
        self.llm_engine = SimpleNamespace(
            vllm_config=SimpleNamespace(
                model_config=SimpleNamespace(max_model_len=length, logprobs_mode=logprobs_mode, dtype=f"torch.{dtype}"),
                parallel_config=SimpleNamespace(tensor_parallel_size=tensor_parallel_size),
                scheduler_config=SimpleNamespace(max_num_seqs=max_num_seqs),
            )
        )

    def collective_rpc(self, name, kwargs):
        assert name == "reload_weights"
        if _FAULT != "stale":
            self.weights = load_file(Path(kwargs["weights_path"]) / "model.safetensors")

    def apply_model(self, function):
        function(SimpleNamespace(modules=list))

    def reset_prefix_cache(self):
        pass

    def generate(self, prompts, parameters, use_tqdm, lora_request):
        if _FAULT == "dies" or (_FAULT == "dies_once" and _nth_draw() == int(_DETAIL.partition(":")[0])):
            print("the last words of the engine", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if _FAULT == "slow":
            time.sleep(10_000)
        weights = self.weights
        if lora_request is not None and _FAULT != "base":
            assert self.enable_lora
            weights = _adapted(weights, Path(lora_request.lora_path))
        known = {}
        outputs = []
        for prompt, params in zip(prompts, parameters, strict=True):
            given = prompt["prompt_token_ids"]
            shown = given[1:] if _FAULT == "begin" else [1, *given] if _FAULT == "template" else given
            outputs.append(
                SimpleNamespace(prompt_token_ids=given, outputs=[self._answer(weights, shown, params, known)])
            )
        return outputs

    def _answer(self, weights, prompt, params, known):
        random, ids, told = np.random.default_rng(params.seed), [], []
        for _ in range(params.max_tokens):
            key = (*prompt, *ids)
            if key not in known:
                known[key] = _logits(self.config, weights, [*prompt, *ids])
            scaled = known[key].astype(np.float64) / params.temperature
            p = np.exp(scaled - scaled.max())
            p = _nucleus(p / p.sum(), params.top_p)
            if _FAULT == "penalty":
                p[ids] /= 4
                p /= p.sum()
            token = int(random.choice(len(p), p=p))
            ids.append(token)
            told.append({token: SimpleNamespace(logprob=float(np.log(p[token])))})
            if token in params.stop_token_ids:
                break
        return SimpleNamespace(token_ids=ids, logprobs=told if params.logprobs is not None else None)


def _nth_draw():
    """Counted in a file, over all processes."""
    path = Path(_DETAIL.partition(":")[2])
    count = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(count))
    return count


def _nucleus(p, top_p):
    order = np.argsort(-p)
    kept = np.cumsum(p[order]) - p[order] < top_p
    cut = np.zeros_like(p)
    cut[order[kept]] = p[order[kept]]
    return cut / cut.sum()


def _adapted(weights, folder):
    config = json.loads((folder / "adapter_config.json").read_text())
    factors = load_file(folder / "adapter_model.safetensors")
    adapted = dict(weights)
    for key in factors:
        if "lora_A" in key:
            name = key.removeprefix("base_model.model.").replace("lora_A.", "")
            product = factors[key.replace("lora_A", "lora_B")] @ factors[key]
            adapted[name] = weights[name] + config["lora_alpha"] / config["r"] * product
    return adapted


def _logits(config, weights, ids):
    """Of the next token after `ids`."""
    T, heads = len(ids), config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or {"rope_theta": config.get("rope_theta", 10000.0)}
    frequency = rope["rope_theta"] ** (-np.arange(0, width, 2) / width)
    angle = np.arange(T)[:, None] * np.concatenate([frequency, frequency])[None]
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)

    def normed(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weights[name]

    def turned(x):
        half = np.concatenate([-x[..., width // 2 :], x[..., : width // 2]], -1)
        return x * cos[:, None] + half * sin[:, None]

    x = weights["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        y = normed(x, at + "input_layernorm.weight")
        q, k, v = (
            (y @ weights[f"{at}self_attn.{name}_proj.weight"].T).reshape(T, -1, width) for name in ("q", "k", "v")
        )
        q, k = turned(q), turned(k)
        k, v = (np.repeat(part, heads // part.shape[1], axis=1) for part in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(width)
        scores = np.where(np.tril(np.ones((T, T), bool)), scores, -np.inf)
        seen = np.exp(scores - scores.max(-1, keepdims=True))
        seen /= seen.sum(-1, keepdims=True)
        x = x + np.einsum("hqk,khd->qhd", seen, v).reshape(T, -1) @ weights[at + "self_attn.o_proj.weight"].T
        y = normed(x, at + "post_attention_layernorm.weight")
        gate = y @ weights[at + "mlp.gate_proj.weight"].T
        up = y @ weights[at + "mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weights[at + "mlp.down_proj.weight"].T
    head = "model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    return normed(x, "model.norm.weight")[-1] @ weights[head].T
