"""`comal eval` of verdicts that are there already: nothing is sampled and nobody is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from comal.errors import ConfigError, DataError, near_match
from comal.evaluation.audit.formats.sources import Source, Table, read_source
from comal.evaluation.audit.formats.tools import Grades
from comal.evaluation.crossplay.alpaca_eval import matrix_csv
from comal.evaluation.crossplay.summary import summarise
from comal.evaluation.intervals import Bootstrap
from comal.evaluation.ready import joined, play_of, without_people
from comal.pipeline.crossplay.result import Entrant, EvaluationResult, digest_of
from comal.pipeline.disk.evaluation_folder import EvaluationFolder
from comal.pipeline.disk.files import write_text
from comal.pipeline.disk.work_folder import FORMAT


@dataclass(frozen=True, slots=True)
class ReadyVerdicts:
    """Verdicts of one or more files.

    Attributes:
        paths: the files.
        sources: what they hold.
    """

    paths: tuple[Path, ...]
    sources: tuple[Source, ...]

    @classmethod
    def read(cls, paths: Sequence[Path], grades: Grades) -> ReadyVerdicts:
        """Read the files.

        Raises:
            ConfigError: they hold answers, about which somebody would have to be asked.
            DataError: a missing or broken file, or one without verdicts of single questions.
        """
        sources = tuple(read_source(path, Table(grades=grades)) for path in paths)
        for path, source in zip(paths, sources, strict=True):
            if source.answers is not None and source.verdicts is None and source.people is None:
                raise ConfigError(
                    "--judge", f"{path} holds answers; say whom to ask about them, e.g. --judge judge.yaml"
                )
            if source.table is not None:
                raise DataError(str(path), "holds a table; `comal solve` solves it, and `comal audit` tests it")
        return cls(tuple(paths), sources)

    @property
    def tools(self) -> set[str | None]:
        """Whose formats the files are of; None: of no other tool."""
        return {source.tool for source in self.sources}

    def evaluate(self, baseline: str | None, bootstrap: Bootstrap) -> tuple[EvaluationResult, str]:
        """All figures, and the win rates as a table.

        Raises:
            ConfigError: no such baseline.
            DataError: verdicts that name no systems, or are about one prompt only.
        """
        verdicts = joined(
            [without_people(found) for source in self.sources if (found := source.verdicts or source.people)]
        )
        play = play_of(verdicts, bootstrap)
        if baseline is not None and baseline not in play.policies:
            raise ConfigError(
                "--baseline", f"the verdicts are about no `{baseline}`.{near_match(baseline, play.policies)}"
            )
        summary = summarise(play, None, baseline or play.policies[0], with_length_control=False)
        source = ", ".join(map(str, self.paths))
        raters = verdicts.raters[0] if len(verdicts.raters) == 1 else f"{len(verdicts.raters)} raters"
        result = EvaluationResult(
            FORMAT,
            {"name": raters},
            {name: Entrant(source, standing) for name, standing in summary.policies.items()},
            summary.figures,
            digest_of(play.prompts),
            summary.notes,
        )
        return result, matrix_csv(play)


def holds_verdicts(path: Path) -> bool:
    """Whether a file is of ready verdicts rather than of answers.

    Raises:
        DataError: neither, or broken.
    """
    return read_source(path).verdicts is not None


def write_ready(folder: Path, result: EvaluationResult, matrix: str) -> EvaluationFolder:
    """Leave the figures and the win rates in a folder.

    Raises:
        RunError: it cannot be written.
    """
    own = EvaluationFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    own.write_result(result.to_json())
    write_text(own.matrix, matrix)
    return own
