"""Online GRPO: policy gradients against the policy itself, pulled to a reference (Shao et al. 2024, arXiv 2402.03300).

    theta ← theta + step · grad_theta [ P(pi_theta > pi') - tau KL(pi_theta || pi_ref) ]  at pi' = pi_theta, stopped

on fresh answers of pi_theta at every update: K of them to a prompt, each rewarded by its win rate against the other
K - 1, so that the opponent is the policy as it moves. With f(y) = P(y > pi) - tau log pi(y)/pi_ref(y) the gradient is

    sum_y pi(y) f(y) grad log pi(y)

What it rests at. With a free probability for every answer, grad log pi spans all directions that sum to 0 and the
gradient vanishes only where f is constant on the support, pi ∝ pi_ref · exp(P(. > pi) / tau): the Nash policy of the
tau-regularised game, which is unique. A plain gradient flow of the logits turns towards it from nearby: its Jacobian
there is D A D - tau D with D = diag(pi) - pi piᵀ, whose symmetric part -tau D is negative in all those directions. How
fast depends on D, and an answer of small probability is slow; no global guarantee is known to us.

What the exact interpreter takes instead is the natural gradient, D⁺ times the plain one: log pi moves by eta f, so

    pi_{k+1}(y) ∝ pi_ref(y)^{eta tau} · pi_k(y)^{1 - eta tau} · exp(eta · P(y > pi_k))

is one update, which is INPO's step (see inpo.py, with its theorem). `updates` of them make an instruction. On language
models `GRPOTrainer` of TRL takes sampled plain gradients preconditioned by Adam: the same points of rest, another path,
and noise that a falling learning rate must quench; `eta` is not used there.

Deviations from GRPO as published, all for that point of rest (derived in `comal.pipeline.step.online_rewards`):
rewards are not divided by their standard deviation, losses not by answers' lengths, and the KL is a part of the reward.
The published k3 penalty would rest at pi (w - <pi, w>) = tau (pi - pi_ref) instead, and TRL's corrected one is exact
for single tokens only.

The policy converges, where it does, to the Nash policy of the regularised game; to the original game's with COMAL
around it, COMAL(inner=OnlineGRPO(...), inner_steps=..., update="copy"), which moves the reference.
"""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import PlayOnline, Program, Regularised, require_step


@dataclass(frozen=True, slots=True)
class OnlineGRPO(Regularised):
    """On-policy gradient updates in the game regularised to a fixed reference; on language models by TRL.

    Attributes:
        tau: weight of KL(pi || pi_ref).
        eta: step size of the natural gradient on matrix games; of no effect on language models.
        updates: gradient updates an instruction, each on fresh answers to `sampling.prompts` prompts.

    Raises:
        ValueError: unless 0 < eta·tau ≤ 1 and updates ≥ 1.
    """

    tau: float
    eta: float = 1.0
    updates: int = 16

    def __post_init__(self) -> None:
        require_step(self.eta, self.tau)
        if self.updates < 1:
            raise ValueError(f"need updates ≥ 1, got {self.updates}")

    def program(self) -> Program:
        """The same instruction for ever; the reference stays."""
        while True:
            yield PlayOnline(self.tau, self.eta, self.updates)
