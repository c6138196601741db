"""YAML read the same way everywhere: recipes, judges and `--set`.

Numbers are those of YAML 1.2, so 1e-8 is one; PyYAML follows YAML 1.1, which wants 1.0e-8. A date and `=` are words.
What the two versions read as different values is refused instead of guessed: `no` (false or a word), 010 (8 or 10),
1:30 (90 or a word). A key that is there twice is a mistake; plainly the last one would win, in silence.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from comal.errors import ComalError, ConfigError
from comal.reading.text import require_text

_FLOAT = re.compile(
    r"""[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
        |[0-9][0-9_]*[eE][-+]?[0-9]+
        |\.(?:inf|Inf|INF))
        |\.(?:nan|NaN|NAN)""",
    re.VERBOSE,
)
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F_]+|0o[0-7]+")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_TWO_READINGS = (
    (re.compile(r"(?:yes|no|on|off)", re.IGNORECASE), "a truth value or a word", "true or false"),
    (re.compile(r"[-+]?0[0-9_]+"), "octal or decimal", "the number without leading zeros"),
    (re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"), "a number to base 60 or a word", "the number"),
    (re.compile(r"[-+]?0b[01_]+"), "binary or a word", "the number in decimal"),
)


class _Loader(yaml.SafeLoader):
    """As the module says; `construct_mapping` also looks at the keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """PyYAML's, after a look at the keys."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(problem=f"`{key.value}` is there twice,{key.start_mark}")
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int:
        """An integer, 0o17 included."""
        word = str(self.construct_scalar(node)).replace("_", "")
        try:
            return int(word, 0)
        except ValueError as error:
            wrong = f"a number of {len(word):,} digits" if word.isdecimal() else f"`{word}` is no whole number"
            raise yaml.constructor.ConstructorError(problem=wrong) from error

    def refuse(self, node: yaml.ScalarNode) -> Any:
        """A plain word with two readings."""
        word = str(self.construct_scalar(node))
        readings, plain = next((r, p) for pattern, r, p in _TWO_READINGS if pattern.fullmatch(word))
        raise yaml.constructor.ConstructorError(
            problem=f"`{word}` is {readings}, depending on the reader of YAML; write {plain}, or quote it for a text"
        )


_KEPT = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
_Loader.yaml_implicit_resolvers = {
    first: kept
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    if (kept := [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT])
}
for _pattern, *_ in _TWO_READINGS:
    _Loader.add_implicit_resolver("!two-readings", re.compile(f"(?:{_pattern.pattern})$", _pattern.flags), None)
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(f"(?:{_BOOL.pattern})$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(f"(?:{_INT.pattern})$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(f"(?:{_FLOAT.pattern})$", re.VERBOSE), list("-+.0123456789")
)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_number)
_Loader.add_constructor("!two-readings", _Loader.refuse)


def parse_yaml(text: str, place: str, kind: type[ComalError] = ConfigError) -> Any:
    """The value of a YAML text.

    Raises:
        ComalError: of this kind; not YAML, a key twice in one mapping, a word with two readings, a value without end
            (an alias inside of its own anchor), or a text that is none.
    """
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise kind(place, f"not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise kind(place, "not YAML: nested too deeply") from error
    except (ValueError, TypeError, OverflowError) as error:  # of constructors: !!timestamp 2024-99-99, !!binary
        raise kind(place, f"not YAML: {' '.join(str(error).split())}") from error
    require_text(value, place, kind)
    return value
