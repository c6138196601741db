"""Claiming a folder: one behaviour for runs, certifications, evaluations and experiments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import filelock
import pytest

from comal.errors import RunError
from comal.pipeline.disk import claim as claim_module
from comal.pipeline.disk.certification_folder import CertificationFolder
from comal.pipeline.disk.claim import claim
from comal.pipeline.disk.evaluation_folder import EvaluationFolder
from comal.pipeline.disk.experiment_folder import ExperimentFolder
from comal.pipeline.disk.files import read_json, write_json
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.work_folder import FORMAT, MarkedFolder, WorkFolder

MARKED = [RunFolder, CertificationFolder, EvaluationFolder]
WITH_A_CONFIGURATION = [RunFolder, CertificationFolder]
ALL = [*MARKED, ExperimentFolder]


def content(recipe: str = "mine", **changes: Any) -> dict[str, Any]:
    return {"format": FORMAT, "comal": "1.0", "recipe": {"name": recipe}, "settings": {}} | changes


def refuse(written: Mapping[str, Any], recipe: Mapping[str, Any], folder: Path) -> None:
    if written["recipe"] != recipe:
        raise RunError(str(folder), "another configuration")


def claimed(folder: WorkFolder, **options: Any) -> filelock.BaseFileLock:
    if isinstance(folder, MarkedFolder):
        options = {"content": content()} | options
        if not isinstance(folder, EvaluationFolder):
            options = {"refuse": refuse} | options
    return claim(folder, **options)


def is_free(folder: WorkFolder) -> bool:
    try:
        with filelock.FileLock(folder.lock, timeout=0):
            return True
    except filelock.Timeout:
        return False


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_module, "PATIENCE", 0.01)
    monkeypatch.setattr(claim_module, "ORPHANS_PATIENCE", 0.01)


@pytest.mark.parametrize("kind", ALL)
def test_a_claimed_folder_is_made_and_held_until_it_is_given_back(tmp_path: Path, kind: type[WorkFolder]) -> None:
    folder = kind(tmp_path / "new" / "one")
    lock = claimed(folder)
    assert not is_free(folder)
    with pytest.raises(RunError, match="another process is working in this folder; wait for it to end"):
        claimed(folder)
    assert not is_free(folder), "whoever was refused does not free it"
    lock.release()
    assert is_free(folder)
    claimed(folder).release()


@pytest.mark.parametrize("kind", MARKED)
def test_the_marker_says_what_for(tmp_path: Path, kind: type[MarkedFolder]) -> None:
    folder = kind(tmp_path)
    claimed(folder).release()
    assert read_json(folder.marker) == content()


@pytest.mark.parametrize(
    ("kind", "option"), [*((kind, "--output-dir") for kind in MARKED), (ExperimentFolder, "--folder")]
)
def test_a_file_is_refused(tmp_path: Path, kind: type[WorkFolder], option: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match=f"file: this is a file, not a folder; choose another {option}"):
        claimed(kind(tmp_path / "file"), option=option)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("kind", "what"), [(RunFolder, "run"), (CertificationFolder, "certificates"), (EvaluationFolder, "evaluation")]
)
def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path, kind: type[MarkedFolder], what: str) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match=f"the folder is not empty and holds no {what}; choose another --output-dir"):
        claimed(kind(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("kind", MARKED)
def test_what_a_killed_claim_left_is_no_hindrance(tmp_path: Path, kind: type[MarkedFolder]) -> None:
    folder = kind(tmp_path)
    folder.lock.touch()
    half = tmp_path / f".{folder.marker.name}.tmp-123"
    half.write_text("{")
    claimed(folder).release()
    assert not half.exists()
    assert folder.is_marked


@pytest.mark.parametrize("kind", WITH_A_CONFIGURATION)
def test_work_of_another_configuration_is_refused(tmp_path: Path, kind: type[MarkedFolder]) -> None:
    folder = kind(tmp_path)
    claimed(folder).release()
    (tmp_path / "supervised").mkdir()
    before = folder.marker.read_bytes()
    with pytest.raises(RunError, match="another configuration"):
        claimed(folder, content=content("another"))
    assert folder.marker.read_bytes() == before
    assert is_free(folder), "whoever was refused does not keep it"
    claimed(folder).release()


@pytest.mark.parametrize("kind", WITH_A_CONFIGURATION)
def test_another_configuration_that_came_first_is_refused_in_the_end(
    tmp_path: Path, kind: type[MarkedFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first look and the lock another process may have claimed the folder and worked in it."""
    folder = kind(tmp_path)
    acquire = filelock.FileLock.acquire

    def slow(self: Any, *args: Any, **options: Any) -> Any:
        write_json(folder.marker, content("another"))
        (tmp_path / "supervised").mkdir()
        return acquire(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(filelock.FileLock, "acquire", slow)
        with pytest.raises(RunError, match="another configuration"):
            claimed(folder)
    assert read_json(folder.marker)["recipe"] == {"name": "another"}
    assert is_free(folder)


@pytest.mark.parametrize("kind", WITH_A_CONFIGURATION)
def test_before_anything_was_computed_the_configuration_may_change(tmp_path: Path, kind: type[MarkedFolder]) -> None:
    folder = kind(tmp_path)
    claimed(folder).release()
    write_json(tmp_path / "data" / "prompts.json", {"of": "mine"})
    claimed(folder, content=content("another")).release()
    assert read_json(folder.marker)["recipe"] == {"name": "another"}
    assert not (tmp_path / "data").exists(), "the other configuration's prompts are prepared anew"


@pytest.mark.parametrize("kind", WITH_A_CONFIGURATION)
def test_continued_by_another_version_the_marker_stays(tmp_path: Path, kind: type[MarkedFolder]) -> None:
    folder = kind(tmp_path)
    claimed(folder).release()
    (tmp_path / "data").mkdir()
    before = folder.marker.read_bytes()
    claimed(folder, content=content(comal="2.0")).release()
    assert folder.marker.read_bytes() == before
    assert (tmp_path / "data").exists()


@pytest.mark.parametrize("kind", MARKED)
@pytest.mark.parametrize("work", [True, False])
@pytest.mark.parametrize("found", ["{", "[]", "{}", '{"format": 2, "comal": "9", "recipe": {}, "settings": {}}'])
def test_another_formats_folder_is_left_alone(tmp_path: Path, kind: type[MarkedFolder], work: bool, found: str) -> None:
    """What it holds is not known, so that nothing computed is seen says nothing."""
    folder = kind(tmp_path)
    folder.marker.write_text(found)
    if work:
        (tmp_path / "supervised").mkdir()
    with pytest.raises(RunError, match=f"{folder.marker.name}: this file of the .* cannot be read"):
        claimed(folder)
    assert folder.marker.read_text() == found
    assert is_free(folder)


@pytest.mark.parametrize("kind", ALL)
def test_orphaned_workers_are_waited_for(tmp_path: Path, kind: type[WorkFolder]) -> None:
    folder = kind(tmp_path)
    claimed(folder).release()
    orphan = WorkFolder(tmp_path / "comal")
    orphan.path.mkdir()
    with (
        filelock.FileLock(orphan.lock),
        pytest.raises(RunError, match="another process is working in this folder; wait for it to end"),
    ):
        claimed(folder, workers=["comal", "not-begun"])
    assert is_free(folder)
    claimed(folder, workers=["comal", "not-begun"]).release()
    assert not (tmp_path / "not-begun").exists()


def test_an_evaluation_of_other_policies_goes_on_in_the_folder(tmp_path: Path) -> None:
    folder = EvaluationFolder(tmp_path)
    claimed(folder).release()
    folder.outputs("a").parent.mkdir()
    claimed(folder, content=content(settings={"policies": ["b"]})).release()
    assert read_json(folder.marker)["settings"] == {"policies": ["b"]}
    assert folder.outputs("a").parent.is_dir()
