import json

import pytest

from comal.cli.judge_spec import build_judge
from comal.errors import ConfigError, JudgeError
from comal.judges.committee import Committee
from comal.judges.python import Python


def test_every_way_of_naming_a_judge(tmp_path):
    wanted = Python("judge_functions:longer", symmetric=True)
    plain = {"name": "python", "function": "judge_functions:longer", "symmetric": True}
    inline = "name=python function=judge_functions:longer symmetric=true"
    (tmp_path / "judge.json").write_text(json.dumps(plain))
    (tmp_path / "recipe.yaml").write_text(json.dumps({"name": "mine", "judge": plain}))
    (tmp_path / "run.json").write_text(json.dumps({"format": 1, "recipe": {"judge": plain}}))
    specs = [inline, inline.removeprefix("name=").replace("python", "name=python")]
    for spec in [*specs, *(str(tmp_path / name) for name in ("judge.json", "recipe.yaml", "run.json"))]:
        assert build_judge(spec) == wanted
    assert isinstance(build_judge("docstrings"), Committee)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1", "not YAML"),
        ("- a", "expected a mapping"),
        ("nama: x", "expected a mapping"),
        ("name: a\nname: b", "twice"),
    ],
)
def test_broken_files(tmp_path, content, message):
    (tmp_path / "j.yaml").write_text(content)
    with pytest.raises(ConfigError, match=message):
        build_judge(str(tmp_path / "j.yaml"))


def test_a_judge_that_could_not_be_asked_is_told_at_once():
    with pytest.raises(JudgeError, match="has no `nothing`"):
        build_judge("name=python function=judge_functions:nothing")
    with pytest.raises(ConfigError, match="cannot read"):
        build_judge("name=python function='x")
