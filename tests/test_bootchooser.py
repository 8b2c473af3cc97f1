# SPDX-License-Identifier: MIT
"""What bootchooser -i prints is understood, whatever the log puts in between."""

import pytest

from oeqa.barebox import bootchooser

TEXT = """\
WARNING: bootchooser: using non-redundant NV instead of barebox-state
Good targets (first will be booted next):
beaver
    id: 2
    priority: 20
    default_priority: 1
    remaining attempts: 3
    default attempts: 4
    boot: '/dev/disk0.1 a b'

Disabled targets:
otter
    id: 1
    priority: 7
    default_priority: 5
    remaining attempts: 0
    default attempts: 3
    boot: 'otter'
    disabled due to remaining attempts = 0

last booted target: beaver
Locking of boot attempt counter: enabled
""".splitlines()


def test_parse():
    found = bootchooser.parse(TEXT)
    assert found["beaver"] == bootchooser.Slot("beaver", 20, 3, 1, 4, "/dev/disk0.1 a b", True)
    assert found["otter"] == bootchooser.Slot("otter", 7, 0, 5, 3, "otter", False)
    assert found.order == ["beaver"]
    assert found.attempts == {"beaver": 3, "otter": 0}
    assert found.priorities == {"beaver": 20, "otter": 7}
    assert (found.last, found.locked) == ("beaver", True)


def test_none():
    text = "Good targets (first will be booted next):,none,,Disabled targets:,none,,last booted target: unknown,x"
    assert bootchooser.parse(text.split(",")) == bootchooser.Chooser((), "", False)


@pytest.mark.parametrize("cut", range(1, len(TEXT) - 1))
def test_cut_short(cut):
    with pytest.raises(ValueError, match="not what bootchooser -i prints"):
        bootchooser.parse(TEXT[:cut])
