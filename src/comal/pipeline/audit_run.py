"""Audit the judge of a run on the answers that the run's policies gave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from comal.errors import RunError
from comal.evaluation.audit.asking import AnswerSets, Asking, Progress, ask
from comal.evaluation.audit.audit import audit_verdicts
from comal.evaluation.audit.foresight import Foresight, foresee
from comal.evaluation.audit.result import AuditResult
from comal.evaluation.audit.verdicts import Verdicts
from comal.judges.base import Judge
from comal.pipeline.disk.files import read_table, write_json
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.run.resolved import resolve
from comal.recipes.settings import Recipe
from comal.resolve import resolve_classifier, resolve_judge

PROMPTS = 100
ANSWERS = 2
"""Answers of each policy that are compared, and prompts on which: the cost grows with the square of the first."""

_TRIPLE = 3


def run_answers(folder: Path, prompts: int = PROMPTS, answers: int = ANSWERS) -> AnswerSets:
    """Stored answers of a run: of every method's last policy to the test prompts; before there are any, of the start.

    Answers of the start are the more varied ones, and a judge's cycles show on answers that differ. Three answers to a
    prompt can go round, two cannot: the validation prompts' are passed over where they are fewer than the first step's.

    Args:
        folder: of the run.
        prompts: how many, at most.
        answers: of each policy to each, at most; of the start, which has no others to be compared with, all.

    Raises:
        RunError: no run, or one that has sampled nothing yet.
    """
    run = RunFolder(folder)
    run.recipe()  # refuses what this comal cannot read
    finals = run.last_answers()
    # A policy looked at half-way is a system as well, but the more systems, the fewer comparisons each is worth.
    if len(finals) > 1 and run.is_finished:
        return _of_policies(folder, finals, prompts, answers)
    drawn = [path for path in [run.validation_answers, *run.step_samples()] if path.is_file()]
    if not drawn:
        raise RunError(str(folder), "the run has not sampled any answers yet; continue it with `comal run`")
    groups = max(map(_groups, drawn[:2]), key=lambda found: min(_TRIPLE, *(len(g) for g in found.values())))
    kept = dict(list(groups.items())[:prompts])
    most = max(len(group) for group in kept.values())
    texts = tuple((*group, *[None] * (most - len(group))) for group in kept.values())
    return AnswerSets(str(folder), tuple(kept), tuple(kept), (), (0,) * most, texts)


def audit_run(
    folder: Path,
    judge: Judge | None = None,
    prompts: int = PROMPTS,
    how: Asking = Asking(),  # noqa: B008  frozen
    cache: Path | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> AuditResult:
    """Audit the judge of a run, or another one, on the run's answers. Verdicts that the run has paid for are reused.

    The audit of the run's own judge is kept in its folder, and its report shows it.

    Args:
        folder: of the run.
        judge: whom to ask instead of the run's own.
        prompts: how many to ask about, at most.
        how: to ask.
        cache: where verdicts are kept and looked for; None: where the run's `verdict_cache` says.
        seed: of the bootstraps; None: the run's.
        progress: told how many comparisons are done, and of how many.

    Raises:
        RunError: no run, or one that has sampled nothing yet.
        JudgeError: the judge cannot be asked.
    """
    sets = run_answers(folder, prompts)
    run = RunFolder(folder)
    recipe = run.recipe()
    asked = judge or resolve_judge(recipe.judge, "judge")
    kept = run.verdicts(recipe.verdict_cache) if cache is None else cache
    # Money is counted in the run's folder wherever verdicts are kept: the judge's budget is the run's.
    verdicts = ask(asked, sets, how, kept, run.spend, progress)
    result = audit_verdicts(verdicts, seed=recipe.seed if seed is None else seed)
    result = replace(result, foresight=_foresight(recipe, sets, verdicts))
    if judge is None:
        write_json(run.audit, result.to_json())
    return result


def _foresight(recipe: Recipe, sets: AnswerSets, verdicts: Verdicts) -> Foresight | None:
    """Of the classes of the start's answers; users who are shown several answers play another game."""
    classify = resolve_classifier(recipe.evaluation.classes, "evaluation.classes")
    if classify is None or sets.systems or recipe.answers_shown > 1:
        return None
    classes = [[None if text is None else classify(text) for text in group] for group in sets.texts]
    return foresee(verdicts, classes, resolve(recipe).methods, recipe.steps)


def _of_policies(folder: Path, files: list[Path], prompts: int, answers: int) -> AnswerSets:
    by_policy = {path.stem: _groups(path) for path in files}
    shared = [p for p in next(iter(by_policy.values())) if all(p in groups for groups in by_policy.values())][:prompts]
    count = min(answers, *(len(groups[p]) for groups in by_policy.values() for p in shared))
    owner = tuple(number for number in range(len(files)) for _ in range(count))
    texts = tuple(tuple(t for groups in by_policy.values() for t in groups[p][:count]) for p in shared)
    return AnswerSets(str(folder), tuple(shared), tuple(shared), tuple(by_policy), owner, texts)


def _groups(path: Path) -> dict[str, list[str]]:
    """Answers by prompt, in the file's order; a prompt that comes twice keeps its first answers."""
    table = read_table(path)
    if "prompt" not in table:
        raise RunError(str(path), "the file has no prompts; it was written by another version of comal")
    groups: dict[str, list[str]] = {}
    for prompt, text in zip(table["prompt"], table["text"], strict=True):
        groups.setdefault(prompt, []).append(text)
    fewest = min(len(group) for group in groups.values())
    return {prompt: group[:fewest] for prompt, group in groups.items()}
