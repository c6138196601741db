"""What a run can be told: frozen, validated settings, one model a part of the pipeline."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=10**12)]  # beyond, products of counts are no numbers any more
Spec: TypeAlias = Any
"""What a user writes for a plug-in: its name, or a mapping with `name` and options. `comal.resolve` makes it one."""


class Settings(BaseModel):
    """Unknown keys are errors; values do not change after validation."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ScratchModel(Settings):
    """A small Llama with random weights and a byte-level BPE tokenizer trained on the supervised data.

    Attributes:
        vocab_size: of the tokenizer, special tokens included.
        hidden_size: width; `hidden_size / heads` should be 32 or more, or vLLM cannot load the model.
    """

    vocab_size: Count = 1024
    hidden_size: Count = 128
    intermediate_size: Count = 256
    layers: Annotated[int, Field(ge=1, le=1000)] = 3
    heads: Count = 4
    max_positions: Count = 256

    @model_validator(mode="after")
    def _divisible(self) -> ScratchModel:
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}")
        return self


class LoraSettings(Settings):
    """Low-rank adapters by PEFT; the reference is a frozen named adapter or the model with adapters disabled."""

    r: Count = 16
    alpha: Positive = 32.0
    target_modules: str | tuple[str, ...] = "all-linear"


class PolicySettings(Settings):
    """The model to align.

    Attributes:
        model: folder or hub id of a Transformers causal LM, the path of a GGUF file, or `package:` and the name of an
            installed package that holds one; None makes one `from_scratch`.
        revision: hub revision.
        temperature: divides the logits of the model of a GGUF file once and for all, where it is dequantised, so that
            sampling and log-probabilities agree; `sampling.temperature` is for other models.
        chat_template: `auto` uses the tokenizer's template when it has one, `none` gives the prompt as plain text.
        system_prompt: put before every prompt by the chat template.
        dtype: of the weights; bfloat16 halves memory, mixed precision is `training.arguments: {bf16: true}`.
        quantization_config: the frozen weights in few bits, as `transformers.BitsAndBytesConfig` takes them, such as
            `{load_in_4bit: true, bnb_4bit_quant_type: nf4, bnb_4bit_compute_dtype: bfloat16}`; with `lora` only.
        max_prompt_tokens: the most tokens of a prompt, chat template and system prompt included.
        long_prompts: what becomes of longer ones: `cut` takes the end of their last message away and keeps the rest,
            for the judge as well; `drop` leaves them out; `refuse` stops.
        max_new_tokens: longer answers are cut and count as unfinished.
    """

    model: str | None = None
    revision: str | None = None
    from_scratch: ScratchModel | None = None
    temperature: Positive = 1.0
    chat_template: Literal["auto", "none"] = "auto"
    system_prompt: str | None = None
    lora: LoraSettings | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    quantization_config: dict[str, Any] | None = None
    trust_remote_code: bool = False
    max_prompt_tokens: Count = 512
    long_prompts: Literal["cut", "drop", "refuse"] = "cut"
    max_new_tokens: Count = 256

    @model_validator(mode="after")
    def _one_origin(self) -> PolicySettings:
        if (self.model is None) == (self.from_scratch is None):
            raise ValueError("give either `model` (a folder or hub id) or `from_scratch`, not both or neither")
        return self

    @model_validator(mode="after")
    def _trainable(self) -> PolicySettings:
        if self.quantization_config is not None and self.lora is None:
            raise ValueError("weights in few bits (`quantization_config`) cannot be trained themselves; add `lora`")
        return self


class DataSource(Settings):
    """Where rows come from.

    Attributes:
        source: a JSONL, JSON, CSV or Parquet file, a hub data set id, or `task:docstrings` (the embedded task), with
            longer answers `task:docstrings?words=16`, or `task:everyday` (instructions for chat
            models; of some tasks `task:everyday?tasks=advice,ideas`).
        subset: configuration name of a hub data set.
        split: of a hub data set or an embedded task.
        prompt: column of the prompt: text, or a list of chat messages.
        answer: column of the answer, for the supervised stage.
        limit: take so many rows of a seeded shuffle.
    """

    source: str
    subset: str | None = None
    split: str = "train"
    prompt: str = "prompt"
    answer: str = "answer"
    limit: Count | None = None


class PromptSettings(Settings):
    """Prompts of the three uses; nothing is chosen by the test prompts.

    Attributes:
        train: sampled at every proximal step.
        validation: for the figures shown during the run; default: `held_out` prompts taken from train.
        test: for the final evaluation; default: another `held_out` prompts taken from train.
    """

    train: DataSource
    validation: DataSource | None = None
    test: DataSource | None = None
    held_out: Count = 128


class SupervisedSettings(Settings):
    """Supervised fine-tuning before alignment, the paper's first stage.

    Attributes:
        data: rows with prompt and answer.
        batch_size: rows of an optimiser step, which processes share evenly.
        loss_on: `answer` tokens only, or `all` tokens.
        temperature: divides the logits of the trained model once and for all (folded into the last norm's weight), so
            that sampling and log-probabilities agree; Llama-like models trained from scratch only.
    """

    data: DataSource
    epochs: Positive = 3.0
    learning_rate: Positive = 2e-5
    batch_size: Count = 16
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    scheduler: str = "cosine"
    loss_on: Literal["answer", "all"] = "answer"
    temperature: Positive = 1.0
    arguments: dict[str, Any] = {}


class SamplingSettings(Settings):
    """How answers are drawn at each proximal step.

    Attributes:
        prompts: prompts a step; fresh ones until all have been used.
        samples: answers a prompt (K).
        temperature: 1 samples the policy itself. The regression is right for any sampling distribution, but win rates
            are then those against the tempered opponent.
        batch_size: answers generated at once.
        engine: name or mapping of what draws them: `transformers`, or `vllm` in a process of its own.
        comparisons: `all` pairs of a prompt's answers are judged, or a number k: each answer meets k others, drawn at
            random, and its win rate is completed without bias; a prompt then costs K·k/2 pairs instead of K(K-1)/2.
            Certificates and evaluations judge all pairs always.
        max_failure_rate: the share of a stage's questions that the judge may leave without a verdict; more of them stop
            the run, which continues where it stopped when the judge is mended.
    """

    prompts: Count = 64
    samples: Annotated[int, Field(ge=2, le=10**12)] = 4
    comparisons: Literal["all"] | int = "all"
    temperature: Positive = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    batch_size: Count = 64
    engine: Spec = "transformers"
    max_failure_rate: Share = 0.05

    @field_validator("comparisons", mode="plain")
    @classmethod
    def _is_a_design(cls, value: Any, info: ValidationInfo) -> Any:
        if value == "all" or "samples" not in info.data:
            return value
        K = info.data["samples"]
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < K:
            raise ValueError(f"need `all`, or the number of others that each of the {K} samples meets, 1 to {K - 1}")
        if K * value % 2:
            raise ValueError(f"{K} samples cannot each meet {value} others; take an even number of one of them")
        return value

    @property
    def degree(self) -> int | None:
        """How many others each answer meets; None for all."""
        return None if self.comparisons == "all" else self.comparisons


class TrainingSettings(Settings):
    """How a proximal step is trained, by `transformers.Trainer`.

    Attributes:
        loss: name or mapping of a prox loss; `group` by default.
        pairing: which pair of a prompt's samples the `pair` loss sees.
        final_learning_rate: of the last proximal step; the steps between go there in a straight line. None: all alike.
            Sampled steps leave the last iterate as far from rest as the last steps are long.
        prompts_per_batch: prompts trained on at once, at most, in one process; each brings its K samples.
        gradient_accumulation: so many times `prompts_per_batch` prompts are the batch of an optimiser step, in any
            number of processes: they share it evenly, or it is an error.
        keep_optimizer: carry the optimiser's moments from one proximal step to the next.
        monitor: share of a step's prompts kept out of training, on which the achieved-against-asked slope is measured.
        log_prob_batch: answers scored at once.
        token_half_life: tokens of an answer after which the gradient of its next ones is halved; None: all count alike.
            Of what the first tokens decide, such as which kind of answer it will be, more is learned from as few
            answers, and less noise from what follows. Losses are the same, and where they end: see `ProxTrainer`.
        share_prompt: compute a prompt once for its K samples instead of K times. Needs a model whose attention takes a
            custom mask (sdpa or eager, full attention).
        arguments: anything else of `transformers.TrainingArguments` (bf16, fsdp, deepspeed, report_to, ...).
    """

    loss: Spec = "group"
    pairing: Literal["best-worst", "best-second", "random"] | None = None
    learning_rate: Positive = 5e-7
    final_learning_rate: Positive | None = None
    epochs: Positive = 1.0
    prompts_per_batch: Count = 8
    gradient_accumulation: Count = 1
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    adam_betas: tuple[Share, Share] = (0.9, 0.999)
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    scheduler: str = "constant"
    keep_optimizer: bool = False
    monitor: Annotated[float, Field(ge=0, lt=1)] = 0.1
    log_prob_batch: Count = 64
    token_half_life: Positive | None = None
    share_prompt: bool = False
    arguments: dict[str, Any] = {}

    def for_step(self, step: int, steps: int) -> TrainingSettings:
        """The settings of proximal step `step` (from 0) of `steps`."""
        if self.final_learning_rate is None or steps == 1:
            return self
        share = step / (steps - 1)
        rate = (1 - share) * self.learning_rate + share * self.final_learning_rate
        return self.model_copy(update={"learning_rate": rate})

    def held_out(self, prompts: int, usable: int | None = None) -> int:
        """How many of a step's prompts are kept out of training; of those that are `usable` one is trained on."""
        return min(round(self.monitor * prompts), (prompts if usable is None else usable) - 1)


class EvaluationSettings(Settings):
    """Held-out figures.

    Attributes:
        judge: another judge than the one trained on; None takes the same.
        max_failure_rate: as in `sampling`, for the judge of the evaluations; None takes that one.
        every: proximal steps between looks at the validation prompts; None: at each reference update.
        validation_prompts: prompts of such a look.
        test_prompts: prompts of the final evaluation.
        samples: answers a prompt and policy.
        best_of: sizes N of the best-of-N adversaries.
        classes: `module:function` that names the class of an answer text; "pure" adversaries answer in one class only.
        pool_size: how many earlier policies of each method, evenly spaced, join the pool of adversaries.
        answers_shown: numbers k of answers at once, up to `samples`, that the users of a `population` take the best of
            in the final evaluation; by default 1 and the recipe's own. Not for other judges.
    """

    judge: Spec = None
    max_failure_rate: Share | None = None
    every: Count | None = None
    validation_prompts: Count = 64
    test_prompts: Count = 128
    samples: Annotated[int, Field(ge=2, le=10**12)] = 4
    best_of: tuple[Count, ...] = (8,)
    classes: str | None = None
    pool_size: Annotated[int, Field(ge=0, le=10**12)] = 2
    answers_shown: tuple[Count, ...] = ()

    @model_validator(mode="after")
    def _enough_answers(self) -> EvaluationSettings:
        if max(self.answers_shown, default=0) > self.samples:
            raise ValueError(
                f"answers_shown: evaluation.samples = {self.samples} answers cannot show {max(self.answers_shown)}"
            )
        return self


class Recipe(Settings):
    """A whole run.

    Attributes:
        name: of the run; also the default output folder's.
        algorithm: name or mapping; see `comal list algorithms`.
        answers_shown: how many answers of a policy a user is shown, who takes the best. 1 is the game of two answers;
            from 2 on, below `sampling.samples`, w(y) is how often y is preferred to so many of the opponent's, by the
            users of a judge that is a `population`. A natural step grows with it: eta · (k + 1)/2, tau · 2/(k + 1).
        verdict_cache: where verdicts are kept: `run`, a file in the run's folder; `shared`, one file of this user's for
            all such runs (`comal cache stats` names it); or the path of a file.
        steps: proximal steps of each method.
        baselines: further algorithms run from the same supervised model with the same number of judge calls.
        processes: methods run side by side in so many processes (for small models on CPUs); 1 runs them in turn.
        threads: torch threads of each process; None leaves it to torch.
    """

    name: str
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0  # what NumPy and the Trainer take
    policy: PolicySettings
    prompts: PromptSettings
    supervised: SupervisedSettings | None = None
    judge: Spec
    verdict_cache: Annotated[str, Field(min_length=1)] = "run"
    algorithm: Spec
    answers_shown: Count = 1
    steps: Annotated[int, Field(ge=1, le=100_000)]
    sampling: SamplingSettings = SamplingSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    baselines: dict[str, Spec] = {}
    processes: Count = 1
    threads: Count | None = None

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not name.strip() or "\0" in name or PurePath(name).is_absolute() or {".", ".."} & set(name.split("/")):
            raise ValueError("need a name that a folder below `runs` can have")
        return name

    @field_validator("verdict_cache")
    @classmethod
    def _names_a_file(cls, path: str) -> str:
        if "\0" in path:
            raise ValueError("need `run`, `shared` or the path of a file")
        return path

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.policy.from_scratch is not None and self.supervised is None:
            raise ValueError("a model made `from_scratch` needs a `supervised` stage to learn from")
        if self.policy.quantization_config is not None and self.supervised is not None:
            raise ValueError(
                "the adapter of a `supervised` stage is merged into the weights, which those in few bits"
                " (`policy.quantization_config`) cannot take; run it first, and align what it leaves"
            )
        return self

    @model_validator(mode="after")
    def _answers_are_drawn(self) -> Recipe:
        require_draws(self.answers_shown, self.sampling)
        return self


def require_draws(answers_shown: int, sampling: SamplingSettings) -> None:
    """Raise ValueError unless the verdicts on a prompt's samples say what so many answers at once are worth."""
    K = sampling.samples
    if answers_shown == 1:
        return
    if answers_shown >= K:
        raise ValueError(
            f"answers_shown: {K} samples a prompt serve up to {K - 1}, got {answers_shown}; raise sampling.samples"
        )
    if sampling.comparisons != "all":
        raise ValueError(
            "sampling.comparisons: what several answers are worth takes all pairs of a prompt's samples; with "
            f"answers_shown = {answers_shown} leave it at `all`"
        )
