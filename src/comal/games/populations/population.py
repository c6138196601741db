"""Populations of users: who prefers what to what when a model shows k answers and each user takes the best.

A model that shows k answers drawn from pi wins a user unless an answer from elsewhere is better than all of them. With

    w_k(y) = Pr(a user drawn from the population prefers y to k answers drawn from pi; ties shared)

k draws of pi win 1 − max_y w_k(y) against whatever single answer. Let k + 1 players show one answer each to the user,
who takes the best: at a symmetric equilibrium max_y w_k(y) = 1/(k + 1), so that k draws win k/(k + 1) at least, and no
policy can do better in general (Cai & Zheng 2026, arXiv 2601.08777). k = 1 is the game of pairwise preferences.

The game is monotone for every k, for rankings with and without ties and for Plackett-Luce users (our proof). Let G and
H be the distributions of a drawn answer's score under p and q, for one user, so that w_k(y; p) = E[G(score of y)^k].
Then

    Σ_y (p − q)(y) (w_k(y; p) − w_k(y; q)) = ∫ (G^k − H^k) d(G − H) = −∫ [G^k − H^k − k H^{k−1} (G − H)] dH ≤ 0

where the middle step is integration by parts, ∫ H^k dG = 1 − k ∫ H^{k−1} G dH and ∫ G^k dG = 1/(k + 1), and the sign is
the convexity of x^k; users' weighted sum keeps it. It is 0 for k = 1 and below 0 for k ≥ 2 unless G = H: policies may
then differ only where no user of positive weight tells answers apart. So

- the symmetric equilibrium is unique for k ≥ 2, if any two policies give some user different scores, as one strict
  ranking does;
- for an equilibrium pi* and any p, <pi* − p, w_k(p)> ≥ 0. That is all that COMAL's certificate uses (comal.py: there
  <pi*, A p> ≥ 0), so its guarantee holds for every k: KL(pi* || reference) never increases;
- self-play's flow dp/dt = p (w_k(p) − <p, w_k(p)>) has KL(pi* || p) as a Lyapunov function, strictly falling for k ≥ 2
  and constant for k = 1 (if pi* has full support): that is why self-play orbits for k = 1 only. A step of size eta
  takes eta <pi* − p, w_k(p)> away and adds log E_p exp(eta (w_k − <p, w_k>)), about eta²/2 times the variance of w_k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from comal.errors import GameError, near_match
from comal.games.game import Floats, PreferenceGame
from comal.games.payoffs import Games
from comal.games.populations.choices import MOST_SPREAD, Choices, PlackettLuce, Rankings

MOST_SHOWN = 1000
"""Answers shown at once."""


@dataclass(frozen=True, slots=True, eq=False)
class PopulationPayoffs:
    """Of populations shown k answers; the gap is max_y w_k(y) − 1/(k + 1).

    Attributes:
        choices: what computes the users' win rates.
        k: answers shown.
        scale: 1 for each population, (B,).
        numbers: users · n².
    """

    choices: tuple[Choices, ...]
    k: int
    scale: Floats
    numbers: int

    @property
    def even(self) -> float:
        """One of k + 1 equals is chosen."""
        return 1 / (self.k + 1)

    def against(self, p: Floats) -> Floats:
        """See `comal.games.payoffs.Payoffs`."""
        rates = [choice.rates(p, self.k) for choice in self.choices]
        payoff: Floats = np.sum(rates, axis=0) - self.even
        return payoff

    def slopes(self, p: Floats) -> Floats:
        """See `comal.games.payoffs.Payoffs`."""
        total: Floats = np.sum([choice.slopes(p, self.k) for choice in self.choices], axis=0)
        return total

    def gaps(self, payoff: Floats) -> Floats:
        """See `comal.games.payoffs.Payoffs`; rounding may leave the largest payoff below 0."""
        gaps: Floats = np.maximum(payoff.max(axis=-1), 0.0)
        return gaps

    def kept(self, games: Games) -> PopulationPayoffs:
        """See `comal.games.payoffs.Payoffs`."""
        choices = tuple(choice.kept(games) for choice in self.choices)
        return PopulationPayoffs(choices, self.k, self.scale[games], self.numbers)


@dataclass(frozen=True, slots=True, eq=False)
class PopulationGame:
    """Users with utilities for the same answers, and how many answers they are shown; or a batch of such populations.

    Attributes:
        utilities: (users, n), or (B, users, n) for a batch; only their order matters where the temperature is 0.
        weights: share of each user, (users,) or (B, users), made to sum to 1; equal unless given.
        temperature: of each user's choice, (users,) or (B, users): 0 takes the highest utility, ties shared; T > 0
            takes an answer with probability proportional to exp(utility / T), as Plackett and Luce have it.
        answers_shown: k, the answers that a policy is drawn for.
        labels: names of the answers, unique; "0", "1", ... unless given.
        name: what to call it in messages and figures.
        citation: where it comes from.

    Raises:
        GameError: shapes that do not fit, numbers that are not finite, weights that are no shares, a negative
            temperature or one far below its user's utilities, labels that do not fit, or k outside 1 to 1000.
    """

    utilities: Floats
    weights: Floats | None = None
    temperature: Floats | None = None
    answers_shown: int = 1
    labels: tuple[str, ...] = ()
    name: str = "population"
    citation: str = ""

    def __post_init__(self) -> None:
        utilities = _numbers(self.utilities, self.name, "utilities")
        if utilities.ndim not in (2, 3) or utilities.size == 0:
            raise GameError(self.name, f"utilities are a row a user and a column an answer; got {utilities.shape}")
        users = utilities.shape[:-1]
        weights = _of_users(1.0 if self.weights is None else self.weights, users, self.name, "weights")
        total = weights.sum(axis=-1, keepdims=True)
        if not (np.isfinite(total) & (total > 0)).all():
            raise GameError(self.name, "some user needs a weight above 0, and their sum must be finite")
        temperature = _of_users(0.0 if self.temperature is None else self.temperature, users, self.name, "temperature")
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            spread = np.where(temperature > 0, np.ptp(utilities, axis=-1) / temperature, 0.0)
        if spread.max() > MOST_SPREAD:
            user = np.unravel_index(int(spread.argmax()), spread.shape)
            raise GameError(
                self.name,
                f"user {int(user[-1])} has utilities {spread.max():.3g} temperatures apart, {MOST_SPREAD:g} at most; "
                "give temperature 0, which takes the highest one",
            )
        k = self.answers_shown
        if (type(k) is not int and not isinstance(k, np.integer)) or not 1 <= k <= MOST_SHOWN:
            raise GameError(self.name, f"answers shown are a whole number from 1 to {MOST_SHOWN}, got {k}")
        n = utilities.shape[-1]
        labels = tuple(str(label) for label in self.labels) or tuple(str(i) for i in range(n))
        if len(labels) != n or len(set(labels)) != n:
            raise GameError(self.name, f"need {n} different labels, one an answer, got {', '.join(labels)}")
        for field, value in (("utilities", utilities), ("weights", weights / total), ("temperature", temperature)):
            value.setflags(write=False)
            object.__setattr__(self, field, value)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "answers_shown", int(k))

    @classmethod
    def from_rankings(
        cls,
        rankings: Sequence[Sequence[str | Sequence[str]]],
        weights: ArrayLike | None = None,
        labels: Sequence[str] = (),
        name: str = "population",
    ) -> PopulationGame:
        """Users by their rankings, best first; equals in a list of their own: `["a", ["b", "c"], "d"]`.

        Args:
            rankings: one a user, each of all answers.
            weights: share of each user; equal unless given.
            labels: the answers' order; as the first ranking has them unless given.
            name: what to call it.

        Raises:
            GameError: an answer that is missing, ranked twice or unknown.
        """
        if not rankings:
            raise GameError(name, "needs a user at least")
        names = tuple(labels) or tuple(sorted(answer for group in rankings[0] for answer in _group(group)))
        rows = [utilities_of_ranking(ranking, names, f"{name}: user {i + 1}") for i, ranking in enumerate(rankings)]
        return cls(np.array(rows), None if weights is None else np.asarray(weights), labels=names, name=name)

    @property
    def n(self) -> int:
        """Number of answers."""
        return int(self.utilities.shape[-1])

    @property
    def users(self) -> int:
        """Number of users of a population."""
        return int(self.utilities.shape[-2])

    @property
    def batch(self) -> int | None:
        """Number of populations of a batch; None for a single one."""
        return int(self.utilities.shape[0]) if self.utilities.ndim == 3 else None

    def showing(self, k: int) -> PopulationGame:
        """The same population, shown k answers.

        Raises:
            GameError: k outside 1 to 1000.
        """
        return replace(self, answers_shown=k)

    def choices(self) -> tuple[Choices, ...]:
        """What computes w_k, of each kind of users that there is."""
        utilities = self.utilities if self.utilities.ndim == 3 else self.utilities[None]
        weights, temperature = np.atleast_2d(self._weights), np.atleast_2d(self._temperature)
        noisy = temperature > 0
        found: list[Choices] = []
        if not noisy.all():
            some = (~noisy).any(axis=0)
            found.append(Rankings.of(utilities[:, some], np.where(noisy, 0.0, weights)[:, some]))
        if noisy.any():
            some = noisy.any(axis=0)
            scale = np.where(noisy, temperature, np.inf)[:, some, None]
            found.append(PlackettLuce.of(utilities[:, some] / scale, np.where(noisy, weights, 0.0)[:, some]))
        return tuple(found)

    def payoffs(self) -> PopulationPayoffs:
        """What the exact interpreter plays with; a single population is a batch of one."""
        return PopulationPayoffs(self.choices(), self.answers_shown, np.ones(self.batch or 1), self.users * self.n**2)

    def win_rates(self, policy: Floats, k: int | None = None) -> Floats:
        """w_k(y) of every answer against k draws of the policy, (n,) or (B, n); k as shown unless given."""
        p = np.asarray(policy, dtype=np.float64)
        k = self.answers_shown if k is None else self.showing(k).answers_shown
        rows = np.broadcast_to(p, (self.batch or 1, self.n))
        rates: Floats = np.sum([choice.rates(rows, k) for choice in self.choices()], axis=0)
        return rates if self.batch is not None else rates[0]

    def pairwise(self) -> PreferenceGame:
        """How the population votes on two answers: P[i, j] is the mean over users; the game for k = 1."""
        difference = self.utilities[..., :, None] - self.utilities[..., None, :]
        temperature = self._temperature[..., None, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
            noisy = 1 / (1 + np.exp(-difference / temperature))
        P = np.where(temperature > 0, noisy, 0.5 * (1 + np.sign(difference)))
        mean: Floats = (P * self._weights[..., None, None]).sum(axis=-3)
        P = np.clip((mean + 1 - np.swapaxes(mean, -1, -2)) / 2, 0.0, 1.0)  # unanimous votes miss 0 and 1 by rounding
        return PreferenceGame(P, self.labels, self.name, self.citation)

    @property
    def _weights(self) -> Floats:
        assert self.weights is not None
        return self.weights

    @property
    def _temperature(self) -> Floats:
        assert self.temperature is not None
        return self.temperature


def utilities_of_ranking(ranking: Sequence[str | Sequence[str]], labels: Sequence[str], place: str) -> list[float]:
    """Minus the place of each answer in a ranking, best first, equals in a list of their own.

    Raises:
        GameError: an answer that is missing, ranked twice or unknown.
    """
    found: dict[str, float] = {}
    for position, group in enumerate(ranking):
        for answer in _group(group):
            if answer not in labels:
                raise GameError(place, f"ranks `{answer}`, which is no answer.{near_match(answer, labels)}")
            if answer in found:
                raise GameError(place, f"ranks `{answer}` twice")
            found[answer] = -float(position)
    missing = [label for label in labels if label not in found]
    if missing:
        raise GameError(place, f"does not rank `{missing[0]}`; answers of equal rank go into a list of their own")
    return [found[label] for label in labels]


def _group(group: str | Sequence[str]) -> Sequence[str]:
    return (group,) if isinstance(group, str) else group


def _numbers(value: ArrayLike, name: str, what: str) -> Floats:
    try:
        numbers = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise GameError(name, f"{what} are numbers: {error}") from error
    if not np.isfinite(numbers).all():
        raise GameError(name, f"{what} are finite numbers, got {numbers[~np.isfinite(numbers)][0]}")
    return numbers


def _of_users(value: ArrayLike, users: tuple[int, ...], name: str, what: str) -> Floats:
    numbers = _numbers(value, name, what)
    try:
        spread = np.broadcast_to(numbers, users).copy()
    except ValueError:
        raise GameError(name, f"{what} have the shape {numbers.shape}; need one for each user, {users}") from None
    if (spread < 0).any():
        raise GameError(name, f"{what} are not negative, got {spread.min():g}")
    return spread
