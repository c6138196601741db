"""Who draws the samples of a proximal step, and how many pairs of them are judged."""

from __future__ import annotations

from comal.algorithms.base import POLICY, TARGET, Mix, ProxStep, StackelbergStep, only
from comal.recipes.settings import SamplingSettings


def sampler_of(step: ProxStep) -> Mix:
    """What a step samples from: its opponent of greatest weight, but the policy itself against a target or a follower.

    The regression's minimiser does not depend on who drew the samples; drawing them from the opponent lets the same
    answers be samples and opponents, which costs half the generation. A target stays as it is, though, and what beats
    it may be what it never says: only the policy that is trained comes to give those answers more often. So it is
    with a follower's replies, which stay near the reference.
    """
    mix = max(step.opponent.terms, key=lambda term: term[0])[1]
    return only(POLICY) if mix.only_role == TARGET or isinstance(step, StackelbergStep) else mix


def label(mix: Mix) -> str:
    """A name of a mixture, for files and seeds; that of its role where there is only one."""
    return "+".join(sorted(mix.weights))


def pairs_judged(sampling: SamplingSettings, self_play: bool) -> int:
    """Pairs of answers judged for one prompt, at most: among the samples, or samples against opponents."""
    K = sampling.samples
    met = sampling.degree or (K - 1 if self_play else K)
    return K * met // 2 if self_play else K * met
