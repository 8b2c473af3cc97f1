# SPDX-License-Identifier: MIT
"""Copies of barebox' state are found, and damaged ones are not."""

import zlib

import pytest

from oeqa.barebox import state

MAGIC = b"OTTR"
DATA = bytes(range(24))


def copy(data=DATA, magic=MAGIC):
    head = magic + bytes(2) + len(data).to_bytes(2, "little") + zlib.crc32(data).to_bytes(4, "little")
    return head + zlib.crc32(head).to_bytes(4, "little") + data


def test_copies():
    content = b"noise" + copy() + bytes(100) + copy(b"other") + MAGIC + copy(magic=b"BEAV")
    assert state.copies(content, MAGIC) == {5: DATA, 5 + len(copy()) + 100: b"other"}


@pytest.mark.parametrize("place", [4, 6, 8, 12, 16, 39])
def test_damaged(place):
    content = bytearray(copy())
    content[place] ^= 1
    assert state.copies(bytes(content), MAGIC) == {}


def test_cut_short():
    assert state.copies(copy()[:-1], MAGIC) == {}
    assert state.copies(copy()[:10], MAGIC) == {}
    assert state.copies(b"", MAGIC) == {}
