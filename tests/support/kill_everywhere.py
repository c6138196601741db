"""Driver: type one command again and again, killed at a new kind of moment each time, until nothing is left to kill.

    python kill_everywhere.py FOLDER COMMAND...       e.g. COMMAND = run recipe.yaml --output-dir FOLDER

A moment is the beginning of a stage, a training step, or the instant before a written file is made safe. SIGKILL comes
in a forked child, so that torch is imported once. Prints one JSON object: the moments in order, the children's exit
codes, and the files that a later child wrote again although they were whole and belonged to journaled instructions.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import transformers

import imported_once  # noqa: F401 - before the fork
from comal.cli import app
from comal.pipeline.disk import files as folder_module
from comal.pipeline.disk import journal as journal_module
from comal.pipeline.disk.journal import is_step
from comal.pipeline.disk.progress import FileProgress


def kill_at_a_new_moment(known: set[str], pipe: int) -> None:
    def moment(label: str) -> None:
        if label not in known:
            os.write(pipe, label.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    stage, flush, append = FileProgress.stage, folder_module._flush, journal_module.FileJournal.append
    train = transformers.Trainer.training_step

    def killed_stage(self, name, step):
        moment(f"stage {name}")
        stage(self, name, step)

    def killed_flush(path):
        parts = [re.sub(r"^\.(.*)\.tmp-\d+$", r"\1", part) for part in path.parts[-2:]]
        if parts[0].startswith("checkpoint-") and parts[1] != "whole.json":
            parts = ["a checkpoint of the supervised stage"]
        held = any(part.endswith(("checkpoint", "supervised", "model")) for part in parts)
        moment("write " + ("/".join(parts) if held else re.sub(r"\d+", "N", parts[-1])))
        flush(path)

    def killed_append(self, index, instruction, report):
        moment(f"journal {type(instruction).__name__}")
        append(self, index, instruction, report)
        moment(f"journaled {type(instruction).__name__}")

    def killed_train(self, *args, **kwargs):
        if self.state.global_step == 1:
            moment(f"inside {type(self).__name__}")
        if self.state.global_step > self.state.max_steps / 2 > 5:
            moment(f"half-way {type(self).__name__}")
        return train(self, *args, **kwargs)

    FileProgress.stage = killed_stage
    folder_module._flush = killed_flush
    journal_module.FileJournal.append = killed_append
    transformers.Trainer.training_step = killed_train


def run(command: list[str], folder: Path, known: set[str]) -> tuple[int, str]:
    """Exit code (negative: signal) and the moment of the kill."""
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        log = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        kill_at_a_new_moment(known, writing)
        code = 1
        try:
            app(command, prog_name="comal")
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        label = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), label


def journaled_files(folder: Path) -> dict[str, int]:
    """When the artifacts of journaled proximal steps, and of the supervised stage, were last written."""
    files = list((folder / "supervised").glob("*"))
    for journal in folder.rglob("journal.jsonl"):
        entries = [json.loads(line) for line in journal.read_text().splitlines()]
        steps = sum(is_step(entry["instruction"]) for entry in entries)
        for step in sorted((journal.parent / "steps").glob("[0-9]*"))[:steps]:
            files += [p for p in step.rglob("*") if p.is_file() and ".tmp-" not in str(p)]
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in files}


def main(folder: Path, command: list[str]) -> None:
    known: list[str] = []
    codes: list[int] = []
    rewritten: set[str] = set()
    while not codes or codes[-1] == -signal.SIGKILL:
        before = journaled_files(folder)
        code, label = run(command, folder, set(known))
        after = journaled_files(folder)
        codes.append(code)
        known += [label] if label else []
        rewritten |= {name for name, time in before.items() if after.get(name, time) != time}
    print(json.dumps({"moments": known, "codes": codes, "rewritten": sorted(rewritten)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
