"""Groups that are split over real processes, gathered by Accelerate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from accelerate import PartialState
from comal.rewards import GroupWinRate
from comal.rewards.trl import TRLWinRate
from group_judges import CYCLE, Table

state = PartialState(cpu=True)
answers = ["a", "b", "c", "c", "b", "a", "a", "c", "b", "b", "b", "a"]
prompts = [f"x{i // 3}" for i in range(12)]
size = 12 // state.num_processes
mine = slice(state.process_index * size, (state.process_index + 1) * size)
logged = {}
found = TRLWinRate(GroupWinRate(Table(CYCLE)), 3)(prompts[mine], answers[mine], log_metric=logged.__setitem__)
with open(f"{state.process_index}.json", "w") as file:
    json.dump([found, logged], file)
"""


@pytest.mark.slow
def test_two_processes_get_what_one_gets(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    support = str(Path(__file__).parents[1] / "support")
    found = {}
    for processes in (1, 2):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        done = subprocess.run(
            [*command, "script.py", support], cwd=tmp_path, capture_output=True, text=True, check=False,
            env=dict(os.environ) | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        parts = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(processes)]
        found[processes] = [rate for rates, _ in parts for rate in rates]
        assert all(logged["judge/questions"] == 10 for _, logged in parts), "each process logs what all have asked"
    assert found[1] == pytest.approx(found[2])
