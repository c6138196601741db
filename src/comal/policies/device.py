"""Which device this process computes on, and which of how many processes it is."""

from __future__ import annotations

import os
from typing import Any


def on_cpu() -> bool:
    """Whether to compute on the CPU: there is nothing better, or ACCELERATE_USE_CPU asks for it."""
    import torch

    return (
        os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes") or not torch.accelerator.is_available()
    )


def state() -> Any:
    """Accelerate's view of the processes: rank, world size, device, barrier."""
    from accelerate import PartialState

    # Without `cpu` Accelerate takes each of torchrun's processes on CPUs for one that is alone.
    return PartialState(cpu=on_cpu())
