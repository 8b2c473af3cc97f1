# SPDX-License-Identifier: MIT
"""QMP's side of a Ctrl-C, at the moment when QEMU has not come yet."""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from oeqa.barebox.qmp import Qmp


def test_interrupted_wait_leaves_nothing_half_done():
    def interrupt():
        raise KeyboardInterrupt

    read, write = os.pipe()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        qmp = Qmp(Path(folder) / "qmp")
        qmp._loop.call_later(0.05, interrupt)
        with pytest.raises(KeyboardInterrupt):
            qmp.accept(read, 5)
        qmp.close()
    os.close(read)
    os.close(write)
    assert asyncio.all_tasks(qmp._loop) == set()
