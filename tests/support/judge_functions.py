"""Functions for the `python` judge."""

import math
import zlib
from fractions import Fraction


def longer(prompt, first, second):
    return 0.5 + 0.4 * ((len(first) > len(second)) - (len(first) < len(second)))


def broken(prompt, first, second):
    raise RuntimeError("no idea")


def at_times_silent(prompt, first, second):
    return None if "result" in first else longer(prompt, first, second)


def whatever(prompt, first, second):
    """Anything that a function may return, always the same for a comparison."""
    found = (0.5, 0, 1, None, 0.25, math.nan, 1.5, "A", True, -0.0, Fraction(1, 3), math.inf, 1e-320, [0.5], 10**400)
    return found[zlib.crc32(repr((prompt, first, second)).encode("utf-8", "replace")) % len(found)]


def undecided(prompt, first, second):
    """Now and then no verdict."""
    return None if zlib.crc32((first + second).encode()) % 9 == 0 else longer(prompt, first, second)
