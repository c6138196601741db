"""Engines in a process of their own: planted faults are found and named, failures are one message, orphans die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

import outside_engines
import tiny_models
from comal.errors import ConfigError, PolicyError
from comal.policies.base import Prompt
from comal.policies.engines.outside.running import close_engine
from comal.policies.store import PolicyStore
from comal.policies.transformers import Decoding
from comal.resolve import resolve_engine
from waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

PROMPTS = [Prompt.of_text(t) for t in ("How long is a yard?", "Why?", "Name the third planet, please.")]
OTHERS = r"vllm 0\.0\.fake on cpu does not draw from the policy that is scored \(.* nats a token, 0\.001 allowed\): "


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_models.save_causal_lm(tmp_path_factory.mktemp("outside") / "base", initializer_range=0.2)


@pytest.fixture(autouse=True)
def _no_engine_is_left() -> Any:
    yield
    close_engine()


def store(base: str, folder: Path, fault: str = "", options: Any = None, **fields: Any) -> PolicyStore:
    engine = {"name": "vllm", "python": outside_engines.fake_python(folder, fault), **(options or {})}
    return outside_engines.store(base, engine, folder / "engine.log", **fields)


def test_stale_weights_stop_it_even_where_rounding_could_explain_them(base: str, tmp_path: Path) -> None:
    opened = store(base, tmp_path, "stale")
    opened.sampler(base).check(PROMPTS)
    near, far = (outside_engines.moved(opened, tmp_path / name, by) for name, by in (("near", 1e-4), ("far", 0.1)))
    with pytest.raises(PolicyError, match=OTHERS + "it holds the checkpoint before; load the checkpoint into it again"):
        opened.sampler(far).check(PROMPTS)
    opened.sampler(base).check(PROMPTS)
    with pytest.raises(
        PolicyError, match=OTHERS + r"it holds the checkpoint before.*: sampling\.engine\.reload=false$"
    ):
        opened.sampler(near).check(PROMPTS)
    found = opened.sampler(near).check(PROMPTS)
    assert found.sampler.mean < 1e-5, "an engine that is not what it should be is not kept: the next one starts anew"


def test_stale_weights_of_a_checkpoint_that_is_gone(base: str, tmp_path: Path) -> None:
    opened = store(base, tmp_path, "stale")
    gone, here = (outside_engines.moved(opened, tmp_path / name, 0.1) for name in ("gone", "here"))
    opened.sampler(gone).check(PROMPTS)
    gone.rename(tmp_path / "elsewhere")
    with pytest.raises(PolicyError, match=OTHERS + r"it holds other weights .* perhaps an earlier \(stale\) one"):
        opened.sampler(here).check(PROMPTS)


def test_the_base_model_instead_of_its_adapter_stops_it(base: str, tmp_path: Path) -> None:
    opened = store(base, tmp_path, "base", lora=outside_engines.LORA)
    opened.sampler(base).check(PROMPTS)
    for name, amount in (("near", 1e-4), ("far", 0.1)):
        adapter = outside_engines.moved(opened, tmp_path / name, amount)
        with pytest.raises(PolicyError, match=OTHERS + "it holds the base weights instead of the adapter"):
            opened.sampler(adapter).check(PROMPTS)


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("template", "it is shown the prompts with another begin token before them"),
        ("begin", "it holds other weights than the checkpoint, .*or computes them otherwise"),
        ("penalty", "it holds other weights than the checkpoint, .*or computes them otherwise"),
    ],
)
def test_prompts_shown_otherwise_and_probabilities_that_are_changed_stop_it(
    base: str, tmp_path: Path, fault: str, named: str
) -> None:
    with pytest.raises(PolicyError, match=OTHERS + named):
        store(base, tmp_path, fault).sampler(base).check(PROMPTS)


@pytest.mark.parametrize(
    ("fault", "options", "parts"),
    [
        ("memory", {}, ("cannot open `", "Free memory on device", "lower sampling.engine.gpu_memory_utilization or")),
        ("architecture", {}, ("are not supported for now", "use another version of it, or `engine: transformers`")),
        ("hang", {"start_timeout": 1.0}, ("took longer than 1 s", "raise sampling.engine.start_timeout")),
        ("", {"arguments": {"max_mode_len": 9}}, ("unexpected keyword argument 'max_mode_len'", "arguments takes")),
    ],
)
def test_an_engine_that_does_not_start_is_one_message(
    base: str, tmp_path: Path, fault: str, options: dict[str, Any], parts: tuple[str, ...]
) -> None:
    with pytest.raises(PolicyError) as raised:
        store(base, tmp_path, fault, options).sampler(base).check(PROMPTS)
    said = str(raised.value)
    assert said.startswith("sampling.engine: vllm cannot open `")
    assert "\n" not in said
    for part in (*parts, f"its log is {tmp_path / 'engine.log'}"):
        assert part in said
    assert (fault == "") != ("vLLM says whatever it likes" in (tmp_path / "engine.log").read_text())


def test_an_engine_that_dies_at_work_is_one_message_and_starts_again(base: str, tmp_path: Path) -> None:
    opened = store(base, tmp_path, f"dies_once=2:{tmp_path / 'count'}")
    sampler = opened.sampler(base)
    sampler.check(PROMPTS)
    with pytest.raises(PolicyError) as raised:
        sampler.draw([(0, PROMPTS[0])], 2, seed=1)
    said = str(raised.value)
    assert "vllm cannot draw 2 answers: its process was killed by SIGKILL, perhaps for want of memory" in said
    assert "the last words of the engine" in said
    assert len(sampler.draw([(0, PROMPTS[0])], 2, seed=1)[0]) == 2


def test_an_option_that_it_takes_without_honouring_it_stops_it(base: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"started with max_model_len 520 and has 7"):
        store(base, tmp_path, "short").sampler(base).check(PROMPTS)


@pytest.mark.parametrize(("fault", "options"), [("no_reload", {}), ("stale", {"reload": False})])
def test_an_engine_that_cannot_reload_or_must_not_is_started_again_for_every_checkpoint(
    base: str, tmp_path: Path, fault: str, options: dict[str, Any]
) -> None:
    opened = store(base, tmp_path, fault, options)
    checkpoint = outside_engines.moved(opened, tmp_path / "x")
    for weights in (base, checkpoint):
        assert opened.sampler(weights).check(PROMPTS).sampler.largest < 1e-4
    assert (tmp_path / "engine.log").read_text().count("vLLM says whatever it likes") == 2


def engines() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if any("vllm_worker" in word for word in child.cmdline())]


def test_only_one_engine_is_kept(base: str, tmp_path: Path) -> None:
    first = store(base, tmp_path).sampler(base)
    first.check(PROMPTS)
    (process,) = engines()
    second = store(base, tmp_path, decoding=Decoding(max_new_tokens=9)).sampler(base)
    second.check(PROMPTS)
    assert not process.is_running()
    close_engine()
    assert engines() == []


def test_a_python_without_vllm_and_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"sampling\.engine\.python: `.*` has no vLLM; install vLLM there, or name"):
        resolve_engine("vllm", "sampling.engine").require()
    with pytest.raises(PolicyError, match=r"there is no program `no/such/python`; give the path of a Python"):
        resolve_engine({"name": "vllm", "python": "no/such/python"}, "sampling.engine").require()
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho nothing works >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    with pytest.raises(PolicyError, match=r"is no Python that works \(nothing works\)"):
        resolve_engine({"name": "vllm", "python": str(broken)}, "sampling.engine").require()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tensor_parallel_size": 0}, "tensor_parallel_size: need at least 1, got 0"),
        ({"gpu_memory_utilization": 1.5}, "gpu_memory_utilization: need a share above 0, up to 1, got 1.5"),
        ({"kv_cache_gib": -1}, "kv_cache_gib: need a number above 0, got -1"),
        ({"kv_cache_gib": 1, "gpu_memory_utilization": 0.5}, "leave one of them out"),
        ({"start_timeout": 0}, "start_timeout: need a number of seconds above 0"),
        ({"arguments": {"dtype": "half"}}, "arguments: dtype is set from the recipe or by an option"),
        ({"tensor_parallel": 2}, "Did you mean `tensor_parallel_size`?"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        resolve_engine({"name": "vllm"} | options, "sampling.engine")
    assert said in str(raised.value)


def test_what_it_cannot_draw_is_refused(base: str, tmp_path: Path) -> None:
    opened = store(base, tmp_path, decoding=Decoding(temperature=0.005))
    with pytest.raises(PolicyError, match=r"sampling\.temperature: vllm samples at 0.01 or more, got 0.005"):
        opened.sampler(base)
    with pytest.raises(PolicyError, match="vllm draws from one checkpoint, and a mixture of several is asked for"):
        opened.sampler({base: 0.5, tmp_path: 0.5})


ORPHAN = """
import os, signal, sys
from pathlib import Path
from comal.policies.engines.outside import process
command = [sys.argv[1], str(Path(process.__file__).with_name("vllm_worker.py")), str(os.getpid())]
engine = process.EngineProcess(command, os.environ, Path(sys.argv[2]), "vllm", lambda said: None)
Path(sys.argv[2] + ".pid").write_text(str(engine.pid))
request = {"do": "start", "model": sys.argv[3], "adapters": False}
engine.ask(request | {"options": {}}, "start")
"""


def test_an_engine_dies_with_the_process_that_it_belongs_to(base: str, tmp_path: Path) -> None:
    """While it starts, which takes minutes: it does not even read what it is told."""
    python, log = outside_engines.fake_python(tmp_path, "hang"), tmp_path / "log"
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN, python, str(log), base])
    wait_until(log.with_suffix(".pid").exists, "the start of an engine")
    wait_until(log.with_suffix(".pid").read_text, "its number")
    engine = psutil.Process(int(log.with_suffix(".pid").read_text()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE, "the end of the orphan")
