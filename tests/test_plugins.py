"""Objects named as `package.module:name`: found, or refused in one kind of error whatever their import raises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comal.errors import ConfigError, JudgeError
from comal.plugins import JUDGES, describe, load_object


@pytest.mark.parametrize("path", ["", ":", ":name", "module:", ".relative:name", "..:name"])
def test_what_names_no_object(path: str) -> None:
    with pytest.raises(ConfigError, match=r"^here: need `package\.module:name`, got"):
        load_object(path, "here")


@pytest.mark.parametrize(("source", "said"), [("1 +", "SyntaxError"), ("raise KeyError('x')", "KeyError: 'x'")])
def test_a_module_that_cannot_be_imported(
    source: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "of_ours.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    why = f"^here: cannot import `of_ours` of `of_ours:name`: the module raised {said}"
    with pytest.raises(ConfigError, match=why):
        load_object("of_ours:name", "here")


@pytest.mark.parametrize("function", [".rules:better", "string:digits"])
def test_the_function_of_a_judge_is_one(function: str) -> None:
    with pytest.raises(JudgeError, match=r"need `package\.module:name`|`digits` of `string` is no function"):
        JUDGES.build({"name": "python", "function": function}, "judge").check()


def test_an_infinite_option_can_be_written_down_and_is_built_again() -> None:
    """JSON has no infinity, and `sharpness: .inf` is how rules are made hard."""
    spec = {"name": "rules", "sharpness": float("inf"), "rules": [{"measure": "words"}]}
    hard = JUDGES.build({"name": "committee", "members": [spec]}, "judge")
    plain = json.loads(json.dumps(describe(hard), allow_nan=False))
    assert JUDGES.build(plain, "judge") == hard
    assert hard.fingerprint() == JUDGES.build(plain, "judge").fingerprint()
