"""What became of prompts that are longer than a policy reads, in words; needs no torch."""

from __future__ import annotations

from typing import Any


def long_line(kept: dict[str, Any]) -> str | None:
    """One sentence about what `Fitted.to_json` gave; None where all prompts fitted."""
    counted = [f"{count} {use}" for use, count in kept["long"].items() if count]
    if not counted:
        return None
    done = {"cut": "their last message is cut at its end", "drop": "they are left out"}[kept["rule"]]
    return (
        f"{', '.join(counted)} prompts are longer than policy.max_prompt_tokens ({kept['max_prompt_tokens']}): {done}"
        f" (policy.long_prompts){_same(kept.get('same', 0))}"
    )


def _same(count: int) -> str:
    return f"; {count} that are then the same as others are left out" if count else ""
