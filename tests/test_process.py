# SPDX-License-Identifier: MIT
"""Processes below the one that is waited for, as QEMU is below runqemu."""

import os
import subprocess

import pytest

from oeqa.barebox import process


def test_group_is_waited_for_after_its_leader():
    leader = subprocess.Popen(["sh", "-c", "sleep 0.3 & exit"], start_new_session=True)
    leader.wait(5)
    os.killpg(leader.pid, 0)
    process._wait_for_group(leader.pid)
    with pytest.raises(ProcessLookupError):
        os.killpg(leader.pid, 0)


def test_group_that_stays_does_not_hold_up_for_ever(monkeypatch):
    monkeypatch.setattr(process, "QUIT_SECONDS", 0.1)
    leader = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        process._wait_for_group(leader.pid)
    finally:
        leader.kill()
        leader.wait(5)
