"""The audit's figure: win rates in the order of HodgeRank's scores, and beside them what no score explains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from comal.errors import DataError
from comal.evaluation.audit.result import AuditResult
from comal.evaluation.audit.structure import Structure
from comal.evaluation.audit.verdicts import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUMBERS_UP_TO = 12  # systems; beyond, cells are too small to be read
_LABELS_UP_TO = 45
_LONGEST_LABEL = 22


def audit_figure(result: AuditResult) -> Figure:
    """Two heat maps of one scale.

    Raises:
        DataError: the audit has no systems.
    """
    if result.structure is None:
        raise DataError("--plot", "the figure shows win rates between systems, and these answers have none")
    from matplotlib.figure import Figure

    found = result.structure
    order = np.argsort(-found.hodge.scores, kind="stable")
    n = len(order)
    side = float(np.clip(1.3 + 0.62 * n, 3.6, 9.5))
    figure = Figure(figsize=(2 * side + 1.2, side + 0.9), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    labels = [_short(found.labels[i]) for i in order]
    reach = float(np.nanmax(np.abs(found.rates - 0.5)))
    reach = max(reach, 0.05)
    above = found.rates[np.ix_(order, order)] - 0.5
    residual = found.hodge.cyclic[np.ix_(order, order)]
    image = _heat_map(left, above, labels, reach, lambda v: f"{50 + 100 * v:.0f}")
    _heat_map(right, residual, labels, reach, _points)
    left.set_title("How often the row is preferred to the column, %", fontsize=10, loc="left")
    right.set_title(f"Cyclic part, points: {_share_text(found)}", fontsize=10, loc="left")
    bar = figure.colorbar(image, ax=[left, right], shrink=0.8, pad=0.01)
    ticks = [-reach, 0.0, reach]
    bar.set_ticks(ticks, labels=[_points(tick) if tick else "even" for tick in ticks])
    bar.outline.set_visible(False)
    return figure


def _heat_map(axes: Axes, values: Floats, labels: list[str], reach: float, text: Any) -> Any:
    n = len(labels)
    shown = np.ma.masked_invalid(np.where(np.eye(n, dtype=bool), np.nan, values))
    image = axes.imshow(shown, cmap="PuOr", vmin=-reach, vmax=reach)
    axes.set_facecolor("0.88")
    if n <= _LABELS_UP_TO:
        axes.set_xticks(range(n), labels, rotation=45, ha="right", rotation_mode="anchor", fontsize=9 if n <= 20 else 6)
        axes.set_yticks(range(n), labels, fontsize=9 if n <= 20 else 6)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if n <= _NUMBERS_UP_TO:
        for i in range(n):
            for j in range(n):
                if i != j and np.isfinite(values[i, j]):
                    dark = abs(values[i, j]) > 0.65 * reach
                    axes.text(j, i, text(values[i, j]), ha="center", va="center", fontsize=9,
                              color="white" if dark else "black")  # fmt: skip
    return image


def _points(value: float) -> str:
    rounded = round(100 * value)
    return f"{rounded:+d}".replace("-", "−") if rounded else "0"


def _share_text(found: Structure) -> str:
    split = found.hodge
    if split.cyclic_share is None:
        return "none, all are even"
    plain = f"{split.cyclic_share:.1%} of the variance"
    if split.corrected_share is None or split.low is None or split.high is None:
        return plain
    return f"{plain},\n{split.corrected_share:.1%} [{split.low:.1%}, {split.high:.1%}] without noise"


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else f"{label[:10]}…{label[-11:]}"
