"""The `openai` judge on a real vLLM server says what the same model says as a local judge; `make test-vllm`."""

from __future__ import annotations

import math
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

import outside_engines
import tiny_models
from comal.judges.base import Comparison
from comal.judges.openai import OpenAI
from comal.judges.pairwise_lm import PairwiseLM
from comal.judges.words.models import release
from waiting import LIMIT, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.vllm,
    pytest.mark.skipif(outside_engines.REAL is None, reason="needs a Python with vLLM; `make test-vllm` has one"),
    pytest.mark.usefixtures("nothing_known_nor_spent"),
]
QUESTIONS = [
    Comparison(f"Name the size of box {i}, in a word.", first, second)
    for i in range(4)
    for first, second in (("big", "a box"), ("a box", "big"), ("no", "It is as big as box two."))
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random model that nearly always says A or B, by a number of its hidden state that never changes."""
    folder = tmp_path_factory.mktemp("judge")
    tiny_models.save_causal_lm(folder, initializer_range=0.2)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = LlamaConfig.from_pretrained(folder, tie_word_embeddings=False)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = LlamaForCausalLM(config)
        network.model.embed_tokens.weight[:, 0] = 20.0
        for layer in network.model.layers:
            layer.self_attn.o_proj.weight[0] = layer.mlp.down_proj.weight[0] = 0.0
        network.lm_head.weight[:, 0] = 0.0
        network.lm_head.weight[tokenizer.convert_tokens_to_ids(["A", "B"]), 0] = 6.0
    network.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def server(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(outside_engines.REAL), "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--port", str(port),
        "--host", "127.0.0.1", "--served-model-name", "judge", "--dtype", "float32", "--enforce-eager",
        "--max-model-len", "1024", "--enable-prefix-caching",
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OPENAI_API_KEY")}
    environment |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment, start_new_session=True)

    def is_up() -> bool:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            return urlopen(f"http://127.0.0.1:{port}/health").status == 200
        except (URLError, ConnectionError):
            return False

    try:
        wait_until(is_up, "a vLLM server")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def test_it_says_what_the_same_model_says_here(model: str, server: str, tmp_path: Path) -> None:
    local = PairwiseLM(model, min_label_mass=0.0).compare(QUESTIONS)
    release()
    asked = OpenAI("judge", server, verdict="logprobs", min_label_mass=0.0, timeout=LIMIT).compare(QUESTIONS)
    assert all(p is not None and math.isfinite(p) for p in local)
    assert asked == pytest.approx(local, abs=1e-4)
    assert max(p or 0 for p in asked) - min(p or 0 for p in asked) > 1e-3, "the questions are told apart"
