"""What a process of a run takes before it works: `python -m comal.pipeline.cost.process_start`, a recipe on stdin.

Imports are paid for once in a process, so they can only be measured in one that has none of them yet.
"""

from __future__ import annotations

import json
import subprocess
import sys

from comal.errors import RunError
from comal.pipeline.cost.clock import ProcessClock, Seconds
from comal.pipeline.cost.unit_cost import UnitCost
from comal.recipes.settings import Recipe


def process_start(recipe: Recipe) -> tuple[UnitCost, UnitCost]:
    """Seconds of a process until it opens its first policy, and those of the data that the first one prepares.

    The seconds that pass begin with its first import of ours; the interpreter's own start is small beside them.

    Raises:
        RunError: it fails.
    """
    from comal.pipeline.processes.pool import python_module  # not above: the process itself measures imports

    command = python_module("comal.pipeline.cost.process_start")
    done = subprocess.run(command, input=recipe.model_dump_json(), capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise RunError("--calibrate", f"a process like a run's could not be started, so it is not measured: {said}")
    found = json.loads(done.stdout.splitlines()[-1])
    started, prepared = (Seconds(*found[name]) for name in ("started", "prepared"))
    return UnitCost(started), UnitCost(prepared - started)


def main() -> None:
    """Import what a run imports, prepare its data, and print the clock after each."""
    beginning = ProcessClock().read().wall
    recipe = Recipe.model_validate_json(sys.stdin.read())
    import comal.pipeline.run.run
    import comal.pipeline.training.supervised  # noqa: F401  imported by a run when it comes to it
    from comal.pipeline.data.prompts import load_pairs, split_prompts
    from comal.pipeline.processes.distributed import prepare_process, state

    prepare_process(recipe.threads)
    state()
    started = ProcessClock().read()
    split_prompts(recipe.prompts, recipe.seed)
    if recipe.supervised is not None:
        load_pairs(recipe.supervised.data, "supervised.data", recipe.seed)
    prepared = ProcessClock().read()
    clocks = {"started": started, "prepared": prepared}
    sys.stdout.write(json.dumps({name: [t.wall - beginning, t.cpu] for name, t in clocks.items()}) + "\n")


if __name__ == "__main__":
    main()
