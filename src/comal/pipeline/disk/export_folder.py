"""What `comal export` leaves, by format.

README.md                    the data card: what the rows are, which judge said so, what was left out
train.jsonl                  trl-dpo, trl-grpo, openrlhf, llamafactory: one row a line
dataset_info.json            llamafactory: how it reads the rows
pairs.parquet                parquet: one row a pair of answers
model_outputs-NAME.json      alpaca-eval: one file a policy
question.jsonl               arena-hard: the prompts
model_answer/NAME.jsonl      arena-hard: one file a policy
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ExportFolder:
    """An export's files.

    Attributes:
        path: the folder's.
    """

    path: Path

    @property
    def card(self) -> Path:
        """The data card."""
        return self.path / "README.md"

    @property
    def rows(self) -> Path:
        """One row a line."""
        return self.path / "train.jsonl"

    @property
    def dataset_info(self) -> Path:
        """LLaMA-Factory's description of `rows`."""
        return self.path / "dataset_info.json"

    @property
    def pairs(self) -> Path:
        """Pairs of answers as a table."""
        return self.path / "pairs.parquet"

    @property
    def questions(self) -> Path:
        """Arena-Hard's prompts."""
        return self.path / "question.jsonl"

    def outputs(self, policy: str) -> Path:
        """A policy's answers in AlpacaEval's format."""
        return self.path / f"model_outputs-{policy}.json"

    def answers(self, policy: str) -> Path:
        """A policy's answers in Arena-Hard's format."""
        return self.path / "model_answer" / f"{policy}.jsonl"
