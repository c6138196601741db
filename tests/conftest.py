"""Settings of the whole suite."""

import gc
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings

from comal import importing
from comal.pipeline.processes.garbage import young_garbage_only

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("comal", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("comal")

gc.set_threshold(20_000, 10, 10)  # what is imported is no garbage
TO_THE_END = ExitStack()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no process is left alone with them at the end."""
    items.sort(key=lambda item: "pipeline" not in item.path.parts)


def pytest_collection_finish() -> None:
    """What was imported is kept out of garbage collection, which Accelerate asks for at the end of every training."""
    gc.collect()
    TO_THE_END.enter_context(young_garbage_only())


def pytest_unconfigure() -> None:
    TO_THE_END.close()


@pytest.fixture(autouse=True)
def _no_shared_file_of_a_person(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts that a test keeps by default are not put among those of whoever runs it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / "data"))


@pytest.fixture(autouse=True, scope="module")
def _no_folders_of_other_files() -> Iterator[None]:
    """Commands within this process look for modules beside recipes, but not beside those of earlier files."""
    before = list(importing._folders)
    yield
    importing._folders[:] = before


@pytest.fixture(autouse=True)
def _no_folders_of_other_tests() -> Iterator[None]:
    """Nor beside those of earlier tests."""
    before = list(importing._folders)
    yield
    importing._folders[:] = before
