"""The process of one job beside others: `python -m comal.pipeline.worker JOB FOLDER NAME PARENT`."""

from __future__ import annotations

import sys
from pathlib import Path

from comal.errors import ComalError
from comal.pipeline.disk.files import write_json
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.method_folder import MethodFolder
from comal.pipeline.disk.progress import OrphanedError
from comal.pipeline.processes.garbage import collect_less_often


def main(arguments: list[str]) -> int:
    """Run one method, or train one exploiter; a user's mistake is left in error.json for the parent to show."""
    job, folder, name, parent = arguments[0], Path(arguments[1]), arguments[2], int(arguments[3])
    from comal.pipeline.processes.distributed import prepare_process

    try:
        if job == "exploiter":
            from comal.pipeline.certify.certification import train_exploiter
            from comal.pipeline.certify.plan import Plan

            plan = Plan.read(folder)
            prepare_process(plan.settings.threads)
            train_exploiter(folder, plan, name, parent)
        else:
            from comal.pipeline.run.resolved import resolve
            from comal.pipeline.run.run import run_method

            recipe = RunFolder(folder).recipe()
            prepare_process(recipe.threads)
            run_method(folder, resolve(recipe), name, parent)
    except ComalError as error:
        write_json(MethodFolder(folder / name).error, {"place": error.place, "problem": error.problem})
        return error.exit_code
    except OrphanedError:
        return 1
    return 0


if __name__ == "__main__":
    collect_less_often()
    sys.exit(main(sys.argv[1:]))
