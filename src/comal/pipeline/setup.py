"""What a process sets once before it runs a pipeline."""

from __future__ import annotations

import warnings


def prepare_process(threads: int | None) -> None:
    """Set torch's threads and leave the terminal to our own progress display."""
    import torch
    import transformers

    if threads is not None:
        torch.set_num_threads(threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    import datasets

    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning, module="(transformers|torch|accelerate|peft).*")
