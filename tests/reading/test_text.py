import gzip

import pytest

from comal.errors import ConfigError, DataError
from comal.reading.text import decoded, read_bytes, require_text

CAFE = "caf\xe9 \u2028 \x85"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_read_by_its_mark(encoding):
    assert decoded(CAFE.encode(encoding), "f") == CAFE


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"one\ncaf\xe9", r"f: not UTF-8 at byte 7 \(0xe9, line 2\).*latin1"),
        ('{"a": 1}'.encode("utf-16-le"), "UTF-16 without a byte order mark"),
        ("x".encode("utf-16") + b"\x00", "begins as UTF-16 but is not"),
        (b"\xef\xbb\xbf\xff", "begins as UTF-8 but is not"),
    ],
)
def test_other_encodings_are_named(data, message):
    with pytest.raises(DataError, match=message):
        decoded(data, "f")
    with pytest.raises(ConfigError):
        decoded(data, "f", ConfigError)


def test_pointers_and_torn_files_are_no_data(tmp_path):
    pointer, torn = tmp_path / "p.jsonl", tmp_path / "t.jsonl.gz"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1000\n")
    torn.write_bytes(gzip.compress(b"hello" * 100)[:-9])
    with pytest.raises(DataError, match=r"Git LFS pointer.*git lfs pull"):
        read_bytes(pointer)
    with pytest.raises(DataError, match="not a gzip file"):
        read_bytes(torn)
    with pytest.raises(DataError, match="no such file"):
        read_bytes(tmp_path / "none")
    with pytest.raises(DataError, match="cannot be read"):
        read_bytes(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_bytes(tmp_path / "nul\0")


@pytest.mark.parametrize("value", ["\ud83d", ["a", {"b": "x\udc00"}], {"\ud83d": 1}])
def test_half_a_surrogate_pair_is_no_text(value):
    with pytest.raises(DataError, match=r"f: .*half of a surrogate pair"):
        require_text(value, "f")


def test_what_is_without_end_is_refused_and_all_other_text_is_not():
    endless: list = []
    endless.append(endless)
    with pytest.raises(DataError, match="without end"):
        require_text(endless, "f")
    with pytest.raises(DataError, match="neither text"):
        require_text([b"x"], "f")
    require_text({"a": ["\U0001f468\u200d\U0001f469", "nul \0", 1, 0.5, True, None]}, "f")
