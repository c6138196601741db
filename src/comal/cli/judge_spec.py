"""A judge as a command line names it: by name, inline, in a file, which may be a recipe, or by the folder of a run."""

from __future__ import annotations

from comal.judges.base import Judge
from comal.pipeline.disk.layout import RunFolder
from comal.reading.paths import user_path
from comal.recipes.judge_text import read_judge
from comal.resolve import resolve_judge


def load_judge(spec: str, option: str = "--judge") -> Judge:
    """The judge that `spec` names.

    Args:
        spec: one of these.

            `docstring_style`                          a judge that needs no options
            `name=python function=rules:better`        inline, with dotted keys as for `--set`
            `{name: python, function: "rules:better"}` inline, as in a recipe
            `committee.yaml`, `judge.json`             a mapping with `name`, or a recipe or run.json with a judge; what
                                                       it names as `module:name` may lie beside it
            `docstrings`                               the judge of a recipe that ships with comal
            `runs/mine`                                the evaluation judge of a run, or else the one it trained on
        option: what to call the place of a mistake.

    Raises:
        ConfigError: none of these, or a judge with wrong options.
    """
    path = user_path(spec)
    if RunFolder(path).is_marked:
        recipe = RunFolder(path).recipe()
        return resolve_judge(recipe.evaluation.judge or recipe.judge, option)
    return resolve_judge(*read_judge(spec, option))


def build_judge(spec: str, option: str = "--judge") -> Judge:
    """As `load_judge`, checked as far as that is possible without asking.

    Raises:
        ConfigError: as `load_judge`.
        JudgeError: it could not be asked.
    """
    judge = load_judge(spec, option)
    judge.check()
    return judge
