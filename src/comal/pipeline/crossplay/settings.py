"""What `comal eval` can be told."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from comal.recipes.settings import Count, DataSource, Positive, Settings, Share


class SamplingOptions(Settings):
    """How models answer; None leaves a run's policies as the run samples them.

    Attributes:
        answers: of each model to each prompt.
        temperature, top_p, max_new_tokens, batch_size: see `comal.policies.transformers.Decoding`.
        system_prompt: of models outside runs.
    """

    answers: Count = 1
    temperature: Positive | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_new_tokens: Count | None = None
    batch_size: Count | None = None
    system_prompt: str | None = None


class EvalSettings(Settings):
    """An evaluation.

    Attributes:
        policies: see `comal.pipeline.crossplay.sources`.
        prompts: held-out prompts; None takes those of the output files, else the test prompts of the first run.
        limit: take so many of them, drawn at random.
        baseline: name of the policy that figures are against; None: the first.
        reference: the model that KL is measured to; None: the starting policy of a run for its policies.
        intersection: compare on the prompts that all output files answer.
        allow_empty: judge empty outputs of files as they are.
        length_control: fit length-controlled win rates.
        max_failures: share of the questions of two policies that may stay without a verdict.
        draws: resamples of the bootstrap.
        answers_shown: numbers k of answers at once that the users of a population take the best of; by default 1, 2, 4
            and 8, as far as there are answers.
        classes: `module:function` that names the class of an answer text, for a population: answers of one class only
            are adversaries too, and the classes among k answers are counted.
    """

    policies: tuple[str, ...]
    prompts: DataSource | None = None
    limit: Annotated[int, Field(ge=2)] | None = None
    baseline: str | None = None
    reference: str | None = None
    sampling: SamplingOptions = SamplingOptions()
    intersection: bool = False
    allow_empty: bool = False
    length_control: bool = True
    max_failures: Share = 0.05
    draws: Annotated[int, Field(ge=20)] = 1000
    seed: Annotated[int, Field(ge=0)] = 0
    answers_shown: tuple[Count, ...] = ()
    classes: str | None = None

    def plain(self) -> dict[str, Any]:
        """As plain values; what evaluations could not be told at first is there where it is told."""
        later = {"answers_shown", "classes"}
        return self.model_dump(mode="json", exclude={name for name in later if not getattr(self, name)})
