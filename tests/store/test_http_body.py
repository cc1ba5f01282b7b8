"""Bodies of several members, bodies with padding, and bodies that unpack to more than is read."""

import gzip
import zlib
from collections import Counter

import brotli
import pytest
import zstandard

from tamis.store.http_body import BodyError, decode_body

TEXT = b"<p>some text</p>" * 40


def test_all_members_of_a_gzip_body_are_decoded_and_padding_is_ignored() -> None:
    notes: Counter[str] = Counter()
    members = gzip.compress(TEXT, mtime=0) + gzip.compress(b"more", mtime=0)
    assert decode_body(members, "", "gzip", notes) == TEXT + b"more"
    assert decode_body(members + b"\0" * 8, "", "x-gzip", notes) == TEXT + b"more"
    packed = zlib.compress(TEXT)
    assert decode_body(packed + gzip.compress(b"no member"), "", "deflate", notes) == TEXT
    assert not notes


def test_a_second_member_that_is_damaged_leaves_the_first() -> None:
    notes: Counter[str] = Counter()
    assert decode_body(gzip.compress(TEXT) + b"\x1f\x8bjunk", "", "gzip", notes) == TEXT
    assert notes == {"content_cut_short": 1}


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("br", brotli.compress), ("zstd", zstandard.compress)]
)
def test_the_largest_body_is_read_and_a_longer_one_is_refused(
    encoding: str, pack, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("tamis.store.http_body.MAX_DECODED_BYTES", len(TEXT))
    assert decode_body(pack(TEXT), "", encoding, Counter()) == TEXT
    with pytest.raises(BodyError, match=r"^too_large: the body decodes to more than 640 bytes$"):
        decode_body(pack(TEXT + b"."), "", encoding, Counter())


def test_a_deflated_body_that_is_text_already_is_left_as_it_is() -> None:
    notes: Counter[str] = Counter()
    assert decode_body(TEXT, "", "deflate", notes) == TEXT
    assert notes == {"content_encoding_not_applied": 1}
    with pytest.raises(BodyError, match=r"^bad_content_encoding: the body is not readable deflate$"):
        decode_body(b"\xff\xfe\0\1" * 20, "", "deflate", notes)
