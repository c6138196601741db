"""What the experiments leave.

`comal reproduce lm`:

supervised/DIGEST-seed0/   a starting model, shared by all runs of its settings and seed
PART/RUN-seed0/            a run
PART/seed0/                certificates
PART/scores-JUDGE-seed0.json
verdicts.sqlite, spend.sqlite
results.json, results.md, images/

`comal reproduce synthetic`:

cells/DIGEST.json          a cell's result
PART.png                   a comparison
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comal.pipeline.disk.certification_folder import CertificationFolder
from comal.pipeline.disk.files import write_json
from comal.pipeline.disk.layout import HomeFolder, RunFolder


@dataclass(frozen=True, slots=True)
class ExperimentFolder(HomeFolder):
    """The artifacts of the experiment on a language model."""

    def run(self, name: str) -> RunFolder:
        """A run, by its part, name and seed."""
        return RunFolder(self.path / name)

    def certification(self, part: str, seed: int) -> CertificationFolder:
        """The certificates of a part's policies of one seed."""
        return CertificationFolder(self.path / part / f"seed{seed}")

    def starting_model(self, name: str) -> HomeFolder:
        """What a starting model is made in that several runs share."""
        return HomeFolder(self.supervised.path / name)

    def scores(self, part: str, judge: str, seed: int) -> Path:
        """Figures of a part under one judge and seed."""
        return self.path / part / f"scores-{judge.replace(' ', '-')}-seed{seed}.json"

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write the figures of all parts."""
        write_json(self.path / "results.json", results)

    @property
    def page(self) -> Path:
        """Tables and figures of all parts."""
        return self.path / "results.md"

    def image(self, name: str) -> Path:
        """A figure of the page."""
        return self.path / "images" / f"{name}.png"


@dataclass(frozen=True, slots=True)
class CellsFolder:
    """Results of cells of the experiment on matrix games.

    Attributes:
        path: the folder's.
    """

    path: Path

    def cell(self, digest: str) -> Path:
        """One cell's result."""
        return self.path / f"{digest}.json"


@dataclass(frozen=True, slots=True)
class MatrixGamesFolder:
    """The artifacts of the experiment on matrix games.

    Attributes:
        path: the folder's.
    """

    path: Path

    @property
    def cells(self) -> CellsFolder:
        """Results of cells."""
        return CellsFolder(self.path / "cells")

    def figure(self, part: str) -> Path:
        """The figure of a part."""
        return self.path / f"{part.replace('/', '-').replace(':', '-')}.png"
