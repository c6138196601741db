"""`comal reproduce lm`: train what a part needs; every run is an ordinary one, in a folder of its own.

What an experiment leaves is in `comal.pipeline.disk.experiment_folder`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from comal.errors import RunError
from comal.evaluation.exploitability.certificate import Certificate
from comal.experiments.language_model.plan import Part, PlannedRun
from comal.pipeline.certify.certification import Certification
from comal.pipeline.certify.plan import Plan, chosen_policies, policies_of_run
from comal.pipeline.certify.settings import EVERY, STEPS, CertifySettings, defaults
from comal.pipeline.disk.claim import claim
from comal.pipeline.disk.experiment_folder import ExperimentFolder
from comal.pipeline.disk.files import clear_temporaries, link_folder
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.progress import FileProgress
from comal.pipeline.processes.distributed import state
from comal.pipeline.processes.garbage import young_garbage_only
from comal.pipeline.processes.pool import Job, of_several
from comal.pipeline.run.check import refuse_other
from comal.pipeline.run.resolved import method_names, resolve
from comal.pipeline.run.run import Run
from comal.pipeline.run.start import prepare_start
from comal.recipes.settings import Recipe

Watch = Callable[[Job, list[str], int], AbstractContextManager[object]]
"""Shows the methods, or exploiters, in these folders, of so many steps each, while it is entered."""


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold an experiment's folder.

    Raises:
        RunError: it is a file, in use, or processes are started by torchrun.
    """
    if state().num_processes > 1:
        raise RunError(str(folder), "the experiment starts its own processes; run it without torchrun")
    lock = claim(ExperimentFolder(folder), option="--folder")
    try:
        yield
    finally:
        lock.release()


def carry_out(folder: Path, part: Part, seed: int, command: str | None, watch: Watch) -> None:
    """Train and evaluate what is left of a part's runs of one seed. Call it only while holding the folder.

    Raises:
        ComalError: a folder that holds another configuration's run, or whatever stops a run.
    """
    left = [run for run in part.runs if not is_done(folder, run, seed)]
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(Run(folder / run.folder(seed), run.of_seed(seed), command))
            for run in sorted(left, key=_longest, reverse=True)
        ]
        if started:
            names = [f"{r.folder.relative_to(folder)}/{m}" for r in started for m in method_names(r.recipe)]
            stack.enter_context(watch("method", names, max(run.recipe.steps for run in started)))
        for run in started:
            _start(folder, run)
        _methods(started)
        for run in started:
            run.execute()
    if part.exploiters:
        certify(folder, part, seed, watch)


def _longest(run: PlannedRun) -> int:
    return max(cost.answers for cost in run.costs.values())


def is_done(folder: Path, run: PlannedRun, seed: int) -> bool:
    """Whether a run is finished.

    Raises:
        RunError: it is another configuration's.
    """
    where = ExperimentFolder(folder).run(run.folder(seed))
    if not where.is_finished:
        return False
    refuse_other(where.written(), resolve(run.of_seed(seed)).canonical(), where.path)
    return True


def _start(folder: Path, run: Run) -> None:
    """Prompts and starting model; a model that is trained is trained once for all runs of its settings."""
    own = RunFolder(run.folder)
    if run.recipe.supervised is not None and not own.supervised.is_made:
        shared = ExperimentFolder(folder).starting_model(supervised_name(run.recipe))
        if not shared.supervised.is_made:
            if shared.path.is_dir():
                clear_temporaries(shared.path)
            prepare_start(shared.path, run.recipe, FileProgress(own.progress, 0))
        link_folder(shared.supervised.path, own.supervised.path)
    prepare_start(run.folder, run.recipe, FileProgress(own.progress, 0))


def supervised_name(recipe: Recipe) -> str:
    """A name for all that a starting model depends on."""
    plain = recipe.model_dump(mode="json", include={"policy", "supervised", "seed", "threads"})
    return f"{hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]}-seed{recipe.seed}"


def _methods(runs: Sequence[Run]) -> None:
    """All methods of all runs side by side, so that no processor waits for a run's last method."""
    methods = [(run, m) for run in runs for m in method_names(run.recipe)]
    left = [(run.folder, m) for run, m in methods if not RunFolder(run.folder).method(m).has_taken(run.recipe.steps)]
    processes = max((run.recipe.processes for run in runs), default=1)
    if processes > 1 and len(left) > 1:
        of_several("method", left, processes)


def certification(folder: Path, part: Part, seed: int) -> Certification:
    """The certification of a part's policies, which are all of one run."""
    run = part.runs[0]
    home, recipe = folder / run.folder(seed), run.of_seed(seed)
    # Exploiters are trained for the same share of a run, however short it is made.
    plain = defaults(resolve(recipe))
    plain |= {"steps": min(STEPS, recipe.steps), "every": min(EVERY, recipe.steps)}
    settings = CertifySettings.model_validate(plain)
    pool = policies_of_run(home, recipe, settings.evaluation.pool_size)
    chosen = chosen_policies(pool, [method for _, method in part.sources.values()], [])
    where = ExperimentFolder(folder).certification(part.name, seed).path
    return Certification(where, Plan(home, recipe, settings), chosen, pool)


def certify(folder: Path, part: Part, seed: int, watch: Watch) -> list[Certificate]:
    """Train exploiters of a part's policies and measure them; certificates that are there are read."""
    if (kept := kept_certificates(folder, part, seed)) is not None:
        return kept
    work = certification(folder, part, seed)
    names = [f"{work.folder.relative_to(folder)}/{name}" for name in work.exploiters]
    with work, watch("exploiter", names, work.plan.settings.steps), young_garbage_only():
        return work.execute()


def kept_certificates(folder: Path, part: Part, seed: int) -> list[Certificate] | None:
    """The certificates of a part's policies, if all are there.

    Raises:
        RunError: they are another configuration's.
    """
    work = certification(folder, part, seed)
    certified = [work.artifacts.policy(name) for name in work.policies]
    if not all(own.is_certified for own in certified):
        return None
    refuse_other(work.artifacts.written(), work.plan.to_json()["recipe"], work.folder)
    return [own.certificate() for own in certified]
