"""Extending a run: more proximal steps after its last, as if they had been asked for from the start.

Nothing that a step does depends on how many follow it, unless the learning rate falls over all of them. What depends on
the last policies is made anew: the look at the end, the final evaluation, the model, the report. Answers to the test
prompts are kept where they are of the same checkpoint. The former figures and certificates are set aside, under names
that say after how many steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock

from comal.errors import RunError
from comal.pipeline.disk.certification_folder import CertificationFolder
from comal.pipeline.disk.files import remove_folder
from comal.pipeline.disk.journal import is_step
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.progress import journal_entries
from comal.pipeline.run.check import changes, refuse_other


def refuse_changed(written: Mapping[str, Any], plain: Mapping[str, Any], folder: Path) -> None:
    """As `refuse_other`, but `steps` may differ where the steps that were taken are those of the new number as well.

    Args:
        written: what run.json says.
        plain: the recipe that is wanted.
        folder: of the run.

    Raises:
        RunError: another configuration; fewer steps than were taken; a learning rate that falls over all steps.
    """
    if set(changes(written["recipe"], plain)) != {"steps"}:
        refuse_other(written, plain, folder)
        return
    old, new = written["recipe"].get("steps"), plain["steps"]
    run = RunFolder(folder)
    said = f"steps was {old!r}, is {new!r}"
    for name in [str(plain["algorithm"]["name"]).rpartition(":")[2].lower(), *plain["baselines"]]:
        entries = journal_entries(run.method(name).journal)
        taken = sum(is_step(entry["instruction"]) for entry in entries)
        if taken and plain["training"]["final_learning_rate"] is not None:
            raise RunError(
                str(folder),
                f"{said}, but the learning rate falls to training.final_learning_rate over all steps, so those that "
                f"were taken would have been others. Use another --output-dir, or, once this run is finished, start a "
                f"new one from its model (policy.model={run.model})",
            )
        begun = taken == new and entries and not is_step(entries[-1]["instruction"])  # what comes before the next one
        if taken > new or begun:
            raise RunError(
                str(folder),
                f"{said}, but {name} has {'begun the next after' if begun else 'taken'} {taken} already. Set steps to "
                f"{taken + bool(begun)} or more, or use another --output-dir",
            )


def set_aside(run: RunFolder, methods: Sequence[str], steps: int) -> int | None:
    """Clear the place of what depends on the last policies, where they are not the last ones any more.

    It may be killed at any moment and is done again; the figures go last. Call it only while holding the folder.

    Args:
        run: the folder.
        methods: the run's.
        steps: that each of them is to take.

    Returns:
        After how many steps the run had ended before, if it had.

    Raises:
        RunError: certificates of the run are being made.
    """
    behind = {
        name: run.method(name).final().steps
        for name in methods
        if run.method(name).is_final and not run.method(name).has_taken(steps)
    }
    if not behind:
        return None
    for name in behind:
        run.answers(name).unlink(missing_ok=True)
    former = min(behind.values())
    if run.is_finished:
        remove_folder(run.model)
        remove_folder(run.adapter)
        _set_certificates_aside(run, former)
        run.result_path.replace(run.earlier_result(former))
    return former


def _set_certificates_aside(run: RunFolder, steps: int) -> None:
    certificates = CertificationFolder(run.certification)
    if not certificates.path.is_dir():
        return
    try:
        with filelock.FileLock(certificates.lock, timeout=0):
            target = run.earlier_certification(steps)
            remove_folder(target)
            certificates.path.replace(target)
    except filelock.Timeout as error:
        raise RunError(str(certificates.path), "`comal certify` is working here; wait for it to end") from error
