r"""How much of a judge's verdicts is due to the answers, and how much to the presentation order and a coin.

Of a pair of answers let f be Pr(i ≻ j) as the judge says it with i shown first and b the same with j shown first. A
judge of position π, tastes t and noise gives f = ½ + t + π + e and b = ½ + t − π + e′. Noise differs between the two
orders, tastes do not, so with π measured as half the mean of f − b

    share = E[(f − ½ − π)(b − ½ + π)] / E[½((f − ½)² + (b − ½)²)]

is the part of the verdicts' variance about an even bet that the answers explain: 0 of a judge that names whoever is
shown first, of one that tosses a coin, fair or loaded, and of any mixture of the two; 1 of a judge that always says the
same of the same answers. A judge that follows the answers in a part w of its verdicts, and the position or a coin in
the rest, has w², which is why √share is called `followed`. For verdicts in words the share is 1 − 2 · flip rate +
(2 · rate of the first − 1)². Where the bias is for the first on some prompts and for the second on others, the share is
too low, even below 0: from two orders alone that cannot be told from a coin.

Where no pair was judged in both orders, repeated verdicts (of one rater, or of several) take the place of f and b, and
there is no π: that tells the answers from a coin, but not from the position.

Prompts are the independent units. The share is a ratio of means over prompts and its standard error the usual one of a
ratio, with four observations invented for the interval and two for the test (`comal.evaluation.audit.bounded`), so that
a judge that gave ten times the same is not taken for certain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy import stats

from comal.evaluation.audit import bounded
from comal.evaluation.audit.verdicts import Floats, Row, Verdicts, mean_of_few
from comal.evaluation.estimates import INVENTED, Estimate


@dataclass(frozen=True, slots=True)
class Information:
    """What the verdicts say of the answers.

    Attributes:
        between: what was compared: verdicts in both presentation `orders`, or `repeats` of a question.
        pairs: of answers, judged so.
        share: of the verdicts' variance about an even bet that the answers explain, in [−1, 1].
        at_most: the one-sided 95% bound of the share.
        p_value: that it is 0 or less.
        spread: standard deviation over prompts of what the share is the mean of.
    """

    between: Literal["orders", "repeats"]
    pairs: int
    share: Estimate
    at_most: float
    p_value: float
    spread: float

    @property
    def followed(self) -> float:
        """In what part of its verdicts a judge of this share follows the answers."""
        return math.sqrt(max(self.share.mean, 0.0))


def information(verdicts: Verdicts) -> Information | None:
    """Measured over all pairs with verdicts in both orders, else over all with repeats.

    Returns:
        None where there are neither, or all such verdicts are even bets.
    """
    groups = [
        (x, _oriented(rows, forth=True), _oriented(rows, forth=False)) for (x, *_), rows in verdicts.grouped().items()
    ]
    both = [(x, f, b) for x, f, b in groups if f and b]
    if both:
        prompts = [x for x, _, _ in both]
        forth = np.array([mean_of_few(f) for _, f, _ in both]) - 0.5
        back = np.array([mean_of_few(b) for _, _, b in both]) - 0.5
        bias = (forth - back) / 2
        around = [(_square(f) + _square(b)) / 2 for _, f, b in both]
        mean_bias = float(bounded.prompt_means(prompts, bias).mean())
        # The product's mean with the measured π taken out, and what each prompt's own bias adds to it.
        products = forth * back + 2 * mean_bias * bias - mean_bias**2
        return _of_products("orders", prompts, products, around)
    repeated = [(x, values) for x, f, b in groups for values in (f, b) if len(values) > 1]
    if not repeated:
        return None
    prompts = [x for x, _ in repeated]
    again = [float(np.mean([(p - 0.5) * (q - 0.5) for p, q in combinations(values, 2)])) for _, values in repeated]
    return _of_products("repeats", prompts, np.array(again), [_square(values) for _, values in repeated])


def _oriented(rows: Sequence[Row], *, forth: bool) -> list[float]:
    """Pr(i ≻ j), i < j, of the verdicts in one order."""
    values = [row.probability for row in rows if (row.first < row.second) == forth and math.isfinite(row.probability)]
    return values if forth else [1 - value for value in values]


def _square(values: Sequence[float]) -> float:
    return mean_of_few([(value - 0.5) * (value - 0.5) for value in values])


def _of_products(
    between: Literal["orders", "repeats"], prompts: Sequence[int], products: Floats, around: Sequence[float]
) -> Information | None:
    explained, whole = bounded.prompt_means(prompts, products), bounded.prompt_means(prompts, around)
    if not whole.any():
        return None
    share = float(explained.mean() / whole.mean())
    residual = (explained - share * whole) / whole.mean()
    low, high, _ = _reach(residual, 0.975, share)
    _, at_most, spread = _reach(residual, 0.95, share)
    n = len(residual) + bounded.INVENTED
    # Under the null the share is 0; the invented ones are then -1 and 1.
    deviation = math.sqrt((float((residual**2).sum()) + bounded.INVENTED) / (n - 1))
    t = share * len(residual) / n / (deviation / math.sqrt(n))
    return Information(
        between,
        len(products),
        Estimate(share, low, high, len(residual), 0),
        at_most,
        float(stats.t.sf(t, df=n - 1)),
        spread,
    )


def _reach(residual: Floats, level: float, share: float) -> tuple[float, float, float]:
    """Both ends for the share, within [-1, 1], and the standard deviation over prompts, those invented included."""
    n = len(residual) + INVENTED
    deviation = math.sqrt((float((residual**2).sum()) + INVENTED) / (n - 1))
    reach = float(stats.t.ppf(level, df=n - 1)) * deviation / math.sqrt(n)
    return max(-1.0, share - reach), min(1.0, share + reach), deviation
