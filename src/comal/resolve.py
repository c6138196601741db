"""From what a user wrote to a plug-in of a known type: the one door to `comal.plugins` for everything above it.

`Family.build` returns whatever class a name stands for; here it gets the type that the rest of the code relies on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from comal.importing import load_object
from comal.plugins import ALGORITHMS, ENGINES, JUDGES, LOSSES

if TYPE_CHECKING:
    from comal.algorithms.base import Algorithm
    from comal.judges.base import Judge
    from comal.losses.base import Loss
    from comal.policies.engines.base import Engine

Classifier = Callable[[str], str]
"""Names the class of an answer's text."""


def resolve_algorithm(spec: object, place: str) -> Algorithm:
    """The algorithm of a name, or of a mapping with `name` and options; an algorithm is returned as it is.

    Raises:
        ConfigError: unknown name or option, missing or invalid value; `place` says where it was written.
    """
    algorithm: Algorithm = ALGORITHMS.build(spec, place)
    return algorithm


def resolve_judge(spec: object, place: str) -> Judge:
    """The judge of a name, or of a mapping with `name` and options; a judge is returned as it is.

    Raises:
        ConfigError: as `resolve_algorithm`.
    """
    judge: Judge = JUDGES.build(spec, place)
    return judge


def resolve_loss(spec: object, place: str) -> Loss:
    """The loss of a name, or of a mapping with `name` and options; a loss is returned as it is.

    Raises:
        ConfigError: as `resolve_algorithm`.
    """
    loss: Loss = LOSSES.build(spec, place)
    return loss


def resolve_engine(spec: object, place: str) -> Engine:
    """The sampling engine of a name, or of a mapping with `name` and options; an engine is returned as it is.

    Raises:
        ConfigError: as `resolve_algorithm`.
    """
    engine: Engine = ENGINES.build(spec, place)
    return engine


def resolve_classifier(path: str | None, place: str) -> Classifier | None:
    """The function at `module:function`, where one is named.

    Raises:
        ConfigError: it cannot be imported.
    """
    if path is None:
        return None
    classify = load_object(path, place)
    return lambda text: str(classify(text))
