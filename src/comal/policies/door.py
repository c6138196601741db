"""The check at the door: does the sampler draw from the policy that is scored?

Answers of a few tokens are drawn to a few prompts, and the sampler's own log-probability of each token, after all that
the sampler does to the logits, is held against the one that the scoring path gives to it. Beside that, the scoring path
is held against a plain forward pass of one row without padding, and the shared layout, where it is on, against the
plain one. All differences are in nats a token.

They are no more than rounding when everything is right. How much that is depends on the coarser of the two number
formats that products are computed in (mean over the tokens, and ten times as much for a single one), see
`comal.models.rounding`:

    float32     0.001      float16, TF32     0.01      bfloat16     0.05

Seeds are the check's own, so it changes no draw.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch

from comal.errors import PolicyError, first_line
from comal.models.rounding import TOLERANCE, tolerance_with
from comal.models.tokens import prompt_ids
from comal.policies.base import Drawn, Prompt, derive_seed
from comal.policies.encoder import PromptEncoder
from comal.policies.generation import wishes
from comal.policies.sequences import Group, TokenBatch, summed_log_probs, token_log_probs
from comal.policies.sharing import not_shared
from comal.policies.transformers import Decoding, Draw, TransformersPolicy

_SINGLE: Final = 10.0
"""How many times as much it can make on a single token."""

_SAMPLES, _TOKENS = 2, 6
_QUICK_SAMPLES, _QUICK_TOKENS = 1, 3
_EXAMINED: weakref.WeakSet[PromptEncoder] = weakref.WeakSet()
"""Encoders of the stores whose kind of model was looked at thoroughly."""

_PLACE = "policy"

DrawAnswers = Callable[[Sequence[Prompt], int, int, int], Sequence[Sequence[Drawn]]]
"""So many answers to each prompt, from a seed, of so many tokens at most, with the tokens' log-probabilities."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Differences of log-probabilities in nats a token."""

    mean: float
    largest: float

    def within(self, tolerance: float) -> bool:
        """Whether rounding explains it; NaN is not explained."""
        return self.mean <= tolerance and self.largest <= _SINGLE * tolerance


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the check found.

    Attributes:
        tokens: drawn and compared.
        sampler: sampler against scorer.
        plain: scorer against a plain forward pass; None where that was known of this kind of model.
        layout: shared layout against the plain one; None where prompts are not shared, or that was known.
        tolerance: mean difference that is allowed, in nats a token.
        engine: what drew, where it holds weights of its own.
    """

    tokens: int
    sampler: Gap
    plain: Gap | None
    layout: Gap | None
    tolerance: float
    engine: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def line(self) -> str:
        """One line for the record."""
        gaps = [gap.mean for gap in (self.sampler, self.plain, self.layout) if gap is not None]
        sampler = "sampler" if self.engine is None else f"sampler ({self.engine})"
        return f"{sampler} and scorer agree to {max(gaps):.0e} nats a token ({self.tolerance:g} allowed)"


def once(policy: TransformersPolicy, prompts: Sequence[Prompt]) -> Agreement:
    """What `require` finds of a policy, found out when its first answers are about to be drawn.

    Raises:
        PolicyError: as of `require`.
    """
    if policy.agreement is None:
        policy.agreement = require(policy, prompts, thorough=policy.encoder not in _EXAMINED)
        _EXAMINED.add(policy.encoder)
    found: Agreement = policy.agreement
    return found


def require(
    sampler: TransformersPolicy,
    prompts: Sequence[Prompt],
    scorer: TransformersPolicy | None = None,
    suspects: Mapping[str, TransformersPolicy] | None = None,
    thorough: bool = True,
) -> Agreement:
    """Check that what `sampler` draws is what `scorer` scores.

    Args:
        sampler: draws answers.
        prompts: the shortest and the longest of the first few are tried.
        scorer: gives log-probabilities; the sampler itself by default.
        suspects: policies that the sampler may have been mistaken for, by what to call them.
        thorough: whether to try padding and the shared layout too, which depend on the kind of model only, and more
            tokens.

    Raises:
        PolicyError: they differ by more than rounding; the message names the cause as far as it can be told.
    """
    scorer = scorer or sampler
    tried = _tried(sampler, prompts)
    layout = _layout_gap(scorer, tried) if scorer.share_prompt and thorough else None
    _require_same_prompts(sampler, scorer, tried)
    tolerance = max(tolerance_with(sampler.model), tolerance_with(scorer.model))
    samples, tokens = (_SAMPLES, _TOKENS) if thorough else (_QUICK_SAMPLES, _QUICK_TOKENS)
    draw = _draw(sampler, tried, samples, tokens)
    answers = [sampler.completion(row).token_ids for row in draw.tokens]
    groups = [(scorer.encoder(prompt), answers[i * samples : (i + 1) * samples]) for i, prompt in enumerate(tried)]
    batch = scorer.laid_out(groups, share_prompt=False)
    logits = scorer.logits(batch)
    assert draw.scores is not None
    assert draw.logits is not None
    if not sampler.mixes:
        # Of the sampler's own logits, and so exact in every format.
        changed = _sampler_gap(draw.scores, draw.logits, answers, sampler.decoding)
        if not changed.within(TOLERANCE[torch.float32]):
            raise PolicyError(_PLACE, _changed(sampler, changed))
    found = _sampler_gap(draw.scores, logits, answers, sampler.decoding)
    if not found.within(tolerance):
        raise PolicyError(_PLACE, _cause(sampler, scorer, draw, groups, found, suspects or {}))
    plain = _require_plain(scorer, groups, token_log_probs(logits, batch)) if thorough else None
    return Agreement(sum(map(len, answers)), found, plain, layout, tolerance)


def require_engine(
    scorer: TransformersPolicy,
    draw: DrawAnswers,
    prompts: Sequence[Prompt],
    title: str,
    suspects: Mapping[str, Callable[[], TransformersPolicy]],
) -> Agreement:
    """Check that an engine with weights of its own draws what is scored: its log-probabilities against the scorer's.

    Two checkpoints that are a step apart may differ by less than rounding can explain. So the engine is held against
    what it may have been left with as well, and must not be much nearer to that.

    Args:
        scorer: gives log-probabilities.
        draw: draws by the engine, and tells the tokens' log-probabilities.
        prompts: as for `require`.
        title: of the engine, for the record.
        suspects: opens policies that it may hold instead, by what to call them.

    Raises:
        PolicyError: they differ by more than rounding, or it holds one of the suspects.
    """
    thorough = scorer.encoder not in _EXAMINED
    tried = _tried(scorer, prompts)
    layout = _layout_gap(scorer, tried) if scorer.share_prompt and thorough else None
    tolerance = tolerance_with(scorer.model)
    longest = min(_TOKENS, scorer.decoding.max_new_tokens)
    drawn = draw(tried, _SAMPLES, derive_seed("door"), longest)
    answers = [answer for group in drawn for answer in group]
    groups = [
        (scorer.encoder(prompt), [a.token_ids for a in group]) for prompt, group in zip(tried, drawn, strict=True)
    ]
    batch = scorer.laid_out(groups, share_prompt=False)
    logits = scorer.logits(batch)
    found = _drawn_gap(answers, logits, scorer.decoding)
    for name, opened in suspects.items():
        gap = _drawn_gap(answers, opened().logits(batch), scorer.decoding)
        if found.mean > max(_NEARER * gap.mean, _NOTHING) and gap.within(tolerance):
            raise PolicyError(_PLACE, f"{_head(found, tolerance, title)}: it holds {name}; {_AGAIN}")
    if not found.within(tolerance):
        raise PolicyError(
            _PLACE, f"{_head(found, tolerance, title)}: {_cause_of_engine(scorer, tried, drawn)}; {_AGAIN}"
        )
    plain = _require_plain(scorer, groups, token_log_probs(logits, batch)) if thorough else None
    _EXAMINED.add(scorer.encoder)
    return Agreement(sum(len(a.token_ids) for a in answers), found, plain, layout, tolerance, title)


_NEARER: Final = 4.0
"""How many times nearer to another policy an engine must be for that to be the one that it holds."""
_NOTHING: Final = 1e-5
"""Nats a token. Policies that are no further apart are one."""
_AGAIN: Final = "load the checkpoint into it again: type the same command once more"


def _drawn_gap(answers: Sequence[Drawn], logits_RCV: torch.Tensor, decoding: Decoding) -> Gap:
    """Differences between an engine's log-probabilities of R answers and those that the scoring path's logits give.

    With top-p the two may differ by a token at the edge of what is kept; that much is allowed for.
    """
    gaps: list[torch.Tensor] = []
    for r, answer in enumerate(answers):
        assert answer.log_probs is not None
        T = len(answer.token_ids)
        own = torch.tensor(answer.log_probs, dtype=torch.float64)
        wanted = (logits_RCV[r, :T].double().cpu() / decoding.temperature).log_softmax(-1)
        chosen = wanted.gather(1, torch.tensor(answer.token_ids).unsqueeze(1))[:, 0]
        if decoding.top_p == 1:
            gaps.append((own - chosen).abs())
            continue
        kept_TV = wanted.exp().sort(dim=-1, descending=True).values.cumsum(-1)
        edge_T = (kept_TV < decoding.top_p).sum(-1)
        last = kept_TV.shape[1] - 1
        among = torch.stack([kept_TV.gather(1, (edge_T + k).clamp(0, last).unsqueeze(1))[:, 0] for k in (-1, 0, 1)])
        gaps.append((own - (chosen - among.log())).abs().amin(0))
    return _gap(torch.cat(gaps))


def _cause_of_engine(scorer: TransformersPolicy, tried: Sequence[Prompt], drawn: Sequence[Sequence[Drawn]]) -> str:
    """What an engine may have been shown or may hold, as far as that can be told."""
    answers = [answer for group in drawn for answer in group]
    encoder = scorer.encoder
    begin = encoder.tokenizer.bos_token_id
    shown: dict[str, Callable[[Prompt], list[int]]] = {}
    if encoder.use_template:
        shown["without the chat template"] = lambda prompt: prompt_ids(encoder.tokenizer, prompt.text)
    if begin is not None:
        shown["with another begin token before them"] = lambda prompt: [begin, *encoder(prompt)]
    for what, encode in shown.items():
        groups = [(encode(p), [a.token_ids for a in group]) for p, group in zip(tried, drawn, strict=True)]
        gap = _drawn_gap(answers, scorer.logits(scorer.laid_out(groups, share_prompt=False)), scorer.decoding)
        if gap.within(tolerance_with(scorer.model)):
            return f"it is shown the prompts {what}"
    return "it holds other weights than the checkpoint, perhaps an earlier (stale) one, or computes them otherwise"


def _require_plain(scorer: TransformersPolicy, groups: Sequence[Group], scored_RC: torch.Tensor) -> Gap:
    """The gap of `_plain_gap`.

    Raises:
        PolicyError: it is more than rounding.
    """
    plain, tolerance = _plain_gap(scorer, groups, scored_RC), tolerance_with(scorer.model)
    if not plain.within(tolerance):
        raise PolicyError(
            _PLACE,
            f"log-probabilities of this model in a batch differ from those of a plain forward pass by {plain.mean:.2g}"
            f" nats a token ({tolerance:g} allowed): it does not take padding on the left as it should; use another"
            " architecture or version of Transformers",
        )
    return plain


def _tried(policy: TransformersPolicy, prompts: Sequence[Prompt]) -> list[Prompt]:
    """The shortest and the longest of the first prompts: of two lengths, one is padded."""
    first = sorted(prompts[:8], key=lambda prompt: (len(policy.encoder(prompt)), prompt.id))
    return [first[0], first[-1]]


def _require_same_prompts(sampler: TransformersPolicy, scorer: TransformersPolicy, prompts: Sequence[Prompt]) -> None:
    for prompt in prompts:
        if sampler.encoder(prompt) != scorer.encoder(prompt):
            raise PolicyError(
                _PLACE,
                f"the sampler is shown {_shown(sampler, prompt)}, and {_shown(scorer, prompt)} is scored: they use"
                " different chat templates or tokenizers; give both the same",
            )


def _draw(sampler: TransformersPolicy, prompts: Sequence[Prompt], samples: int, tokens: int) -> Draw:
    longest = min(tokens, sampler.decoding.max_new_tokens)
    try:
        return sampler.draw(prompts, samples, derive_seed("door"), longest, keep_logits=True)
    except PolicyError:
        raise
    except Exception as error:
        raise PolicyError(
            _PLACE, f"this model cannot be sampled ({first_line(error)}){_without_sharing(sampler)}"
        ) from error


def _sampler_gap(
    scores_RTV: torch.Tensor, logits_RCV: torch.Tensor, answers: Sequence[Sequence[int]], decoding: Decoding
) -> Gap:
    """Differences on the drawn tokens; infinite where the sampler leaves tokens out that it should not.

    Args:
        scores_RTV: logits that the tokens were drawn from.
        logits_RCV: the scoring path's of the same distributions.
        answers: the tokens, R rows.
        decoding: what the sampler is to do to the policy.
    """
    gaps: list[torch.Tensor] = []
    for r, answer in enumerate(answers):
        T = len(answer)
        own, wanted = scores_RTV[r, :T].double(), logits_RCV[r, :T].double() / decoding.temperature
        left_out = own.isneginf() & ~wanted.isneginf()
        if left_out.any():
            kept = wanted.softmax(-1).masked_fill(left_out, 0.0).sum(-1)
            if decoding.top_p == 1 or float(kept.min()) < decoding.top_p - 0.01:
                return Gap(float("inf"), float("inf"))
            wanted = wanted.masked_fill(left_out, -torch.inf)
        tokens = torch.tensor(list(answer), device=own.device).unsqueeze(1)
        gaps.append((own.log_softmax(-1) - wanted.log_softmax(-1)).gather(1, tokens).abs().flatten())
    return _gap(torch.cat(gaps))


def _plain_gap(scorer: TransformersPolicy, groups: Sequence[Group], scored_RC: torch.Tensor) -> Gap:
    """The scoring path against one unpadded row at a time; of each prompt the longest answer."""
    gaps, row = [], 0
    for prompt, answers in groups:
        chosen = max(range(len(answers)), key=lambda i: len(answers[i]))
        answer = list(answers[chosen])
        with scorer.active() as model:
            ids = torch.tensor([[*prompt, *answer]], device=model.device)
            logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float()
        alone = logits.log_softmax(-1).gather(1, ids[0, len(prompt) :, None])[:, 0]
        gaps.append((alone - scored_RC[row + chosen, : len(answer)]).abs())
        row += len(answers)
    return _gap(torch.cat(gaps))


def _layout_gap(scorer: TransformersPolicy, prompts: Sequence[Prompt]) -> Gap:
    """The shared layout against the plain one, on pieces of the prompts themselves as answers.

    Raises:
        PolicyError: they differ, or the model cannot be given such a mask.
    """
    groups: list[Group] = []
    for prompt in prompts:
        ids = scorer.encoder(prompt)
        piece = ids[-_TOKENS:]
        groups.append((ids, [piece, piece[::-1], piece[:1]]))
    try:
        shared = _summed(scorer, scorer.laid_out(groups, share_prompt=True))
    except Exception as error:
        raise not_shared(f"it cannot be computed so ({first_line(error)})") from error
    plain = _summed(scorer, scorer.laid_out(groups, share_prompt=False))
    lengths = torch.tensor([len(answer) for _, answers in groups for answer in answers])
    gap = _gap((shared - plain).abs() / lengths)
    tolerance = tolerance_with(scorer.model)
    if not gap.within(tolerance):
        raise not_shared(f"its log-probabilities would differ by {gap.mean:.2g} nats a token ({tolerance:g} allowed)")
    return gap


def _summed(scorer: TransformersPolicy, batch: TokenBatch) -> torch.Tensor:
    return summed_log_probs(scorer.logits(batch), batch).double().cpu()


def _cause(
    sampler: TransformersPolicy,
    scorer: TransformersPolicy,
    draw: Draw,
    groups: Sequence[Group],
    found: Gap,
    suspects: Mapping[str, TransformersPolicy],
) -> str:
    """The message: by how much they differ, and why as far as that can be told."""
    assert draw.scores is not None
    head = _head(found, max(tolerance_with(sampler.model), tolerance_with(scorer.model)))
    answers = [answer for _, group in groups for answer in group]
    batch = scorer.laid_out(groups, share_prompt=False)
    others = dict(suspects)
    if scorer.adapter is not None:
        base = TransformersPolicy(scorer.model, scorer.encoder, scorer.decoding, scorer.score_batch)
        others.setdefault("the base weights instead of the adapter", base)
    for name, policy in others.items():
        tolerance = max(tolerance_with(sampler.model), tolerance_with(policy.model))
        if _sampler_gap(draw.scores, policy.logits(batch), answers, sampler.decoding).within(tolerance):
            return f"{head}: it holds {name}; load the checkpoint into it again"
    return (
        f"{head}: it holds other weights than the checkpoint, perhaps an earlier (stale) one, or computes them"
        f" otherwise; load the checkpoint into it again{_without_sharing(sampler)}"
    )


def _changed(sampler: TransformersPolicy, changed: Gap) -> str:
    """The message about a sampler that makes other probabilities of its model's logits."""
    asked = wishes(sampler.model.generation_config.to_diff_dict())
    named = f" ({', '.join(f'{k} {v}' for k, v in asked.items())})" if asked else ""
    return (
        f"{_head(changed, TOLERANCE[torch.float32])}: something in it changes the model's probabilities, such as a"
        f" penalty{named}; take it out"
    )


def _head(gap: Gap, tolerance: float, sampler: str = "the sampler") -> str:
    amount = "some tokens are never drawn" if math.isinf(gap.mean) else f"{gap.mean:.2g} nats a token"
    return f"{sampler} does not draw from the policy that is scored ({amount}, {tolerance:g} allowed)"


def difference(before: torch.Tensor, after: torch.Tensor) -> Gap:
    """Of two lists of tokens' log-probabilities, in nats a token."""
    return _gap((before - after).abs())


def _without_sharing(policy: TransformersPolicy) -> str:
    return "; or leave training.share_prompt out" if policy.share_prompt else ""


def _shown(policy: TransformersPolicy, prompt: Prompt) -> str:
    text = str(policy.tokenizer.decode(policy.encoder(prompt)))
    return repr(text if len(text) <= 60 else text[:59] + "…")


def _gap(gaps: torch.Tensor) -> Gap:
    return Gap(float(gaps.double().mean()), float(gaps.double().max()))
