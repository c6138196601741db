"""What a finished run hands over: its model as a standard checkpoint, and its adapter beside it, where it has one."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

from comal.errors import PolicyError, RunError
from comal.pipeline.disk.files import atomic_path, link_folder
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.run.resolved import ResolvedRecipe
from comal.pipeline.run.resources import open_store
from comal.pipeline.step.samples import Samples
from comal.policies.adapter_folder import is_adapter
from comal.policies.merging import Answered, quantised

logger = logging.getLogger(__name__)

_ANSWERS = 4
"""Answers of the run's own whose log-probabilities are compared, before and after an adapter is merged."""


def deliver(folder: Path, resolved: ResolvedRecipe) -> None:
    """Put the main method's last policy into its places in the run's folder, where it is not there yet.

    A run of an earlier comal has its adapter where the model belongs; it moves.

    Raises:
        PolicyError: the whole model that an adapter makes is not the trained policy; the adapter is there then.
    """
    run = RunFolder(folder)
    name = next(iter(resolved.methods))
    main = run.method(name)
    source = Path(main.policy(main.final().checkpoint, run.supervised.path))
    if not source.is_dir():
        return
    if not is_adapter(source):
        if not run.model.is_dir():
            link_folder(source, run.model)
        return
    if not run.adapter.is_dir():
        link_folder(source, run.adapter)
    if run.model.is_dir() and not is_adapter(run.model):
        return
    recipe = resolved.recipe
    start, policy = run.start(recipe), recipe.policy
    if policy.quantization_config is not None:
        logger.warning(
            "%s is not made: what was trained and measured is an adapter on the weights of %s in few bits, and in the "
            "full weights it would be another policy. Use %s beside its base, loaded with the same "
            "policy.quantization_config; to merge it with PEFT is to make a policy that nothing here has measured",
            run.model, start, run.adapter,
        )  # fmt: skip
        return
    if (method := quantised(str(start), policy.trust_remote_code, policy.revision)) is not None:
        logger.warning(
            "%s is not made: the weights of %s are quantised (%s), and no adapter can be merged into them. Use %s "
            "beside its base, or name the base that was quantised in its adapter_config.json and merge it with PEFT",
            run.model, start, method, run.adapter,
        )  # fmt: skip
        return
    gc.collect()  # the policies that were evaluated: one model is in memory at a time
    try:
        with atomic_path(run.model) as temporary:
            open_store(folder, recipe).save_merged(temporary, source, _answered(run, name, resolved))
    except PolicyError as error:
        raise PolicyError(error.place, f"{error.problem}. The adapter itself is whole: {run.adapter}") from error


def _answered(run: RunFolder, method: str, resolved: ResolvedRecipe) -> Answered:
    prompts, answers = run.prompts().test[: resolved.recipe.evaluation.test_prompts], run.answers(method)
    if not answers.is_file():
        raise RunError(
            str(answers),
            f"these answers are gone, and what is merged is checked on them; remove {run.result_path.name} to have them"
            " drawn again",
        )
    samples = Samples.load(answers, prompts)
    pairs = zip(samples.prompts, samples.completions, strict=True)
    return [(prompt, group[0].token_ids) for prompt, group in list(pairs)[:_ANSWERS]]
