"""What is known of a recipe's data before any hub is asked: all of files, nothing but the limits of hub data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comal.errors import DataError
from comal.pipeline.data.prompts import load_pairs, load_prompts, on_hub, split_prompts
from comal.recipes.settings import DataSource, Recipe


@dataclass(frozen=True, slots=True)
class KnownPrompts:
    """How many prompts there are for each use, as far as that is known.

    Attributes:
        available: distinct prompts to train on, counted; None where a hub would have to be asked.
        train: the most there can be; None where nothing limits them.
        validation: the same of the validation prompts.
        test: the same of the test prompts.
        longest: bytes of the longest prompt of those at hand.
        unknown: a sentence for each data set that is not at hand.
    """

    available: int | None
    train: int | None
    validation: int | None
    test: int | None
    longest: int
    unknown: tuple[str, ...]


def known_prompts(recipe: Recipe) -> KnownPrompts:
    """Load and check what is at hand of a recipe's prompts and supervised pairs; ask no hub.

    Raises:
        DataError: anything wrong with a file, or a name that is neither a file nor a hub data set's.
    """
    settings = recipe.prompts
    given = {"train": settings.train, "validation": settings.validation, "test": settings.test}
    sources = {f"prompts.{use}": source for use, source in given.items() if source is not None}
    if recipe.supervised is not None:
        sources["supervised.data"] = recipe.supervised.data
    elsewhere = {place: source for place, source in sources.items() if on_hub(source)}
    for place, source in elsewhere.items():
        _require_hub_id(source, place)
    unknown = tuple(
        f"{place}: `{source.source}` (split `{source.split}`) lies on a hub, which plan does not ask"
        for place, source in elsewhere.items()
    )
    if recipe.supervised is not None and "supervised.data" not in elsewhere:
        load_pairs(recipe.supervised.data, "supervised.data", recipe.seed)
    if not any(place.startswith("prompts.") for place in elsewhere):
        splits = split_prompts(settings, recipe.seed)
        texts = [prompt.text for prompt in (*splits.train, *splits.validation, *splits.test)]
        longest = max((len(text.encode()) for text in texts), default=0)
        train, validation, test = (len(part) for part in (splits.train, splits.validation, splits.test))
        return KnownPrompts(train, train, validation, test, longest, unknown)
    counts, longest = _at_hand(sources, elsewhere, recipe.seed)
    most: dict[str, int | None] = {
        use: settings.held_out if source is None else counts.get(f"prompts.{use}", source.limit)
        for use, source in given.items()
    }
    return KnownPrompts(None, most["train"], most["validation"], most["test"], longest, unknown)


def _at_hand(
    sources: Mapping[str, DataSource], elsewhere: Mapping[str, DataSource], seed: int
) -> tuple[dict[str, int], int]:
    counts: dict[str, int] = {}
    longest = 0
    for place, source in sources.items():
        if place.startswith("prompts.") and place not in elsewhere:
            prompts = load_prompts(source, place, seed)
            counts[place] = len(prompts)
            longest = max(longest, *(len(prompt.text.encode()) for prompt in prompts))
    return counts, longest


def _require_hub_id(source: DataSource, place: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not in __all__

    try:
        validate_repo_id(source.source)
    except HFValidationError as error:
        raise DataError(
            place, f"`{source.source}` is neither a data file nor the id of a hub data set (owner/name)"
        ) from error
