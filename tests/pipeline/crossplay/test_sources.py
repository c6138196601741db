"""What an adapter's own file says of its base model is taken whole, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comal.errors import ComalError
from comal.pipeline.crossplay.sources import Model, find_model


@pytest.mark.parametrize("revision", [None, "v2"])
def test_an_adapter_belongs_to_its_base_in_the_revision_that_it_was_trained_on(
    tmp_path: Path, revision: str | None
) -> None:
    content = {"base_model_name_or_path": "owner/base", "revision": revision}
    (tmp_path / "adapter_config.json").write_text(json.dumps(content), "utf-8")
    found = find_model(str(tmp_path), "x")
    assert found == Model(tmp_path.name, str(tmp_path), base="owner/base", revision=revision)
    # What seeds its answers stays what it was where no revision is named.
    assert found.identity()[2:] == ["owner/base"] + ([] if revision is None else [revision])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", r"adapter_config\.json:1: not JSON"),
        ("[]", "names no base model"),
        ("{}", "names no base model"),
        ('{"base_model_name_or_path": null}', r"names no base model \(base_model_name_or_path is None\)"),
        ('{"base_model_name_or_path": 7}', "names no base model"),
        ('{"base_model_name_or_path": " "}', "names no base model"),
        (
            '{"base_model_name_or_path": "a/b", "revision": 7}',
            "`revision` in adapter_config.json should be a text or null, got 7",
        ),
        ('{"base_model_name_or_path": "./gone"}', r"no folder `\./gone`"),
    ],
)
def test_an_adapter_without_a_base_model_is_one_message(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "adapter_config.json").write_text(content, "utf-8")
    with pytest.raises(ComalError, match=said):
        find_model(str(tmp_path), "x")


@pytest.mark.parametrize("weights", ["model.safetensors", "model-00001-of-00002.safetensors", "pytorch_model.bin"])
def test_a_model_and_an_adapter_in_one_folder_are_not_told_apart_by_luck(tmp_path: Path, weights: str) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/base"}', "utf-8")
    (tmp_path / "config.json").write_text("{}", "utf-8")
    assert find_model(str(tmp_path), "x").base == "owner/base", "some trainers write config.json beside an adapter"
    (tmp_path / weights).write_bytes(b"")
    with pytest.raises(ComalError, match=rf"beside a model \({weights}\)"):
        find_model(str(tmp_path), "x")
