"""What `comal eval` leaves.

eval.json              what was evaluated
samples/NAME-DIGEST/   answers of a model, a block of prompts a file; the digest is of all that they depend on
verdicts.sqlite        verdicts
outputs/NAME.json      answers in AlpacaEval's format, one file a policy
annotations.json       verdicts in AlpacaEval's format
leaderboard.csv        figures against the baseline under AlpacaEval's column names
matrix.csv             win rates, for `comal solve`
door.json              how well sampler and scorer of each model agree
result.json            all figures
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from comal.judges.kept.cache import FILE_NAME, SPEND_NAME
from comal.pipeline.disk.files import write_json
from comal.pipeline.disk.work_folder import MarkedFolder

EVALUATIONS = Path("evaluations")
"""Where evaluations go unless a user says otherwise."""


@dataclass(frozen=True, slots=True)
class SamplesFolder:
    """One model's answers.

    Attributes:
        path: the folder's.
    """

    path: Path

    def block(self, start: int) -> Path:
        """Answers to the prompts from number `start` on."""
        return self.path / f"{start:06d}.parquet"

    def kl(self, reference: str) -> Path:
        """Log-ratios of the answers to the reference of this digest."""
        return self.path / f"kl-{reference}.json"


@dataclass(frozen=True, slots=True)
class EvaluationFolder(MarkedFolder):
    """An evaluation's artifacts. One of other policies may go on in it: what can be reused is, by digest."""

    MARKER: ClassVar[str] = "eval.json"
    HOLDS: ClassVar[str] = "evaluation"
    KEYS: ClassVar[tuple[str, ...]] = ("format", "settings")

    def samples(self, name: str) -> SamplesFolder:
        """Answers of the model of this name, its digest included."""
        return SamplesFolder(self.path / "samples" / name)

    @property
    def verdicts(self) -> Path:
        """What the judge said."""
        return self.path / FILE_NAME

    @property
    def spend(self) -> Path:
        """What it has cost."""
        return self.path / SPEND_NAME

    def outputs(self, name: str) -> Path:
        """Answers of a policy in AlpacaEval's format."""
        return self.path / "outputs" / f"{name}.json"

    @property
    def annotations(self) -> Path:
        """Verdicts in AlpacaEval's format."""
        return self.path / "annotations.json"

    @property
    def leaderboard(self) -> Path:
        """Figures against the baseline."""
        return self.path / "leaderboard.csv"

    @property
    def matrix(self) -> Path:
        """Win rates."""
        return self.path / "matrix.csv"

    @property
    def result_path(self) -> Path:
        """All figures."""
        return self.path / "result.json"

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write them."""
        write_json(self.result_path, result)
