"""What a plan says of models that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comal.errors import PolicyError
from comal.pipeline.cost.model_size import known_size
from comal.recipes.settings import PolicySettings, ScratchModel


def test_sizes_that_no_tensor_has() -> None:
    sizes = ScratchModel(vocab_size=10**12, hidden_size=10**12, heads=1)
    with pytest.raises(PolicyError, match=r"^policy\.from_scratch: no model can be made of this configuration: "):
        known_size(PolicySettings(from_scratch=sizes))


@pytest.mark.parametrize(
    "config", [{"model_type": "llama", "hidden_size": "wide"}, {"model_type": "llama", "num_attention_heads": 0}, []]
)
def test_a_folder_with_a_strange_configuration(config: object, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(PolicyError, match=r"^policy\.model: (no model can be made of|cannot read the) ?"):
        known_size(PolicySettings(model=str(tmp_path)))
