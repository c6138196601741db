"""The process of one method when methods run side by side: `python -m comal.pipeline.worker RUN METHOD PARENT`."""

from __future__ import annotations

import sys
from pathlib import Path

from comal.errors import ComalError
from comal.pipeline.folder import read_json, write_json
from comal.pipeline.progress import OrphanedError
from comal.pipeline.settings import Recipe


def main(arguments: list[str]) -> int:
    """Run one method; a user's mistake is left in error.json for the parent to show."""
    folder, name, parent = Path(arguments[0]), arguments[1], int(arguments[2])
    recipe = Recipe(**read_json(folder / "run.json")["recipe"])
    from comal.pipeline.run import run_method
    from comal.pipeline.setup import prepare_process

    prepare_process(recipe.threads)
    try:
        run_method(folder, recipe, name, parent)
    except ComalError as error:
        write_json(folder / name / "error.json", {"place": error.place, "problem": error.problem})
        return error.exit_code
    except OrphanedError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
