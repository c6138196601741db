"""A run of an older version goes on as what it was begun as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comal.errors import RunError
from comal.pipeline.disk.files import write_json
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.run.check import refuse_other, refuse_other_processes


def test_an_older_run_goes_on_in_as_many_processes_as_it_was_begun_in(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    refuse_other_processes(run, 2)
    write_json(tmp_path / "provenance.json", {"sessions": [{"processes": 1}]})
    refuse_other_processes(run, 1)
    with pytest.raises(RunError, match=r"trained in 1 process, and this is 2: .* go on with 1"):
        refuse_other_processes(run, 2)


def test_one_whose_batches_are_those_of_the_recipe_goes_on_in_any_number(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert not run.shares_batches
    run.mark_batches_shared()
    assert run.shares_batches
    write_json(tmp_path / "provenance.json", {"sessions": [{"processes": 1}]})
    refuse_other_processes(run, 2)


def test_a_setting_that_an_older_run_does_not_name_is_what_it_meant() -> None:
    def recipe(**policy: Any) -> dict[str, Any]:
        return {"judge": {"name": "rules", "rules": []}, "policy": {"model": "m"} | policy, "steps": 1}

    old = {"format": 1, "recipe": recipe()}
    refuse_other(old, recipe(long_prompts="cut"), Path("run"))
    with pytest.raises(RunError, match=r"policy.long_prompts was 'cut', is 'drop'"):
        refuse_other(old, recipe(long_prompts="drop"), Path("run"))
