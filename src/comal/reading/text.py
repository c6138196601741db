"""From the bytes of a file to its text.

UTF-8 is read, with or without a byte order mark, and UTF-16 and UTF-32 where a mark tells them. Everything else is
refused by name: a guessed encoding is a guessed text.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from pathlib import Path
from typing import Any

from comal.errors import ComalError, DataError

_MARKS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LFS = b"version https://git-lfs.github.com/spec/"
_SURROGATE = re.compile("[\ud800-\udfff]")
_DEEPEST = 100


def read_bytes(path: Path) -> bytes:
    """A file's bytes, those inside of it where its name ends in .gz.

    Raises:
        DataError: it cannot be read, is no gzip file though it is called one, or is a Git LFS pointer.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(str(path), "no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DataError(str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if data.startswith(_LFS):
        raise DataError(str(path), "this is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`")
    if path.suffix.lower() != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(str(path), f"not a gzip file, though it is called one ({error})") from error


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file only says where Git LFS keeps its content."""
    try:
        with path.open("rb") as file:
            return file.read(len(_LFS)) == _LFS
    except OSError:
        return False


def decoded(data: bytes, place: str, kind: type[ComalError] = DataError) -> str:
    """The text of bytes.

    Raises:
        ComalError: of this kind; another encoding than UTF-8, or a torn text.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data[:2]:
        raise kind(place, "not UTF-8 but, by its zeros, UTF-16 without a byte order mark; save it as UTF-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            name = encoding.removesuffix("-sig").upper()
            raise kind(place, f"begins as {name} but is not ({error.reason} at byte {error.start})") from error
        line = data.count(b"\n", 0, error.start) + 1
        raise kind(
            place,
            f"not UTF-8 at byte {error.start} (0x{data[error.start]:02x}, line {line}); save it as UTF-8, e.g. "
            f"`iconv -f latin1 -t utf-8` if it is Latin-1",
        ) from error


def read_text(path: Path) -> str:
    """A file's text.

    Raises:
        DataError: as `read_bytes` and `decoded`.
    """
    return decoded(read_bytes(path), str(path))


def require_text(value: Any, place: str, kind: type[ComalError] = DataError) -> None:
    """Refuse plain values with a text that cannot be written down, or nested without end.

    Half of a surrogate pair (U+D83D alone, an emoji that a length limit cut in two) is no character: it has no UTF-8,
    so no tokenizer, server, data base or file takes it.

    Raises:
        ComalError: of this kind, naming the place and the text.
    """
    below: list[tuple[Any, int]] = [(value, 0)]
    while below:
        part, depth = below.pop()
        if isinstance(part, str):
            found = None if part.isascii() else _SURROGATE.search(part)
            if found is not None:
                near = part[max(0, found.start() - 20) : found.end() + 20]
                raise kind(
                    place,
                    f"{near!a} holds half of a surrogate pair, which is no character (an emoji cut in two?); remove "
                    "it, or put the whole character",
                )
        elif isinstance(part, (dict, list, tuple)):
            if depth == _DEEPEST:
                raise kind(place, f"nested more than {_DEEPEST} levels deep, or without end")
            inside = [*part, *part.values()] if isinstance(part, dict) else part
            below += [(one, depth + 1) for one in inside]
        elif part is not None and not isinstance(part, (bool, int, float)):
            raise kind(place, f"{part!r} is neither text, number, truth value, list nor mapping")
