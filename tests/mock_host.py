#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The QEMU of a KVM host that is none: it speaks QMP and plays the host's first process, or what MOCK_HOST says.

The scenarios are the ways in which a host goes wrong; each function's docstring tells one.
"""

import os
import signal
import sys
import time
from pathlib import Path

from mock_qemu import LIFE_SECONDS, Monitor, value


class Control:
    """The host's end of the port ``control``."""

    def __init__(self):
        path = value("pipe,id=control,path=")
        self._in = os.open(f"{path}.in", os.O_RDONLY)
        self._out = os.open(f"{path}.out", os.O_WRONLY)

    def say(self, text):
        os.write(self._out, text.encode())

    def line(self):
        text = b""
        while not text.endswith(b"\n"):
            text += os.read(self._in, 1)
        return text.decode().strip()


def log(text):
    Path(value("file,id=log,path=")).write_text(text + "\n", encoding="utf-8")


def well(control):
    """A host that says yes to everything; asked for its QEMU, it names one."""
    control.say("ready 6.12-mock\n")
    while True:
        answer = "QEMU emulator version 10.0.0" if "--version" in control.line() else ""
        control.say(f"done 0 {len(answer)}\n{answer}")


def no_kvm(control):
    """A host without KVM."""
    control.say("fault no /dev/kvm: kvm [1]: HYP mode not available\n")
    time.sleep(LIFE_SECONDS)


def panic(_control):
    """A host whose kernel panics."""
    log("[    1.0] Kernel panic - not syncing: No working init found.")


def hang(_control):
    """A host that says nothing."""
    log("[    1.0] still there")
    time.sleep(LIFE_SECONDS)


def no_memory(_control):
    """QEMU gets no memory."""
    sys.exit("mock: cannot set up guest memory 'ram': Cannot allocate memory")


def fails(control):
    """A host that cannot do what it is asked to."""
    control.say("ready 6.12-mock\n")
    control.line()
    control.say("done 1 14\nno such device")
    time.sleep(LIFE_SECONDS)


def hangs_later(control):
    """A host that hangs after its start."""
    control.say("ready 6.12-mock\n")
    control.line()
    control.say("done 0 0\n")
    time.sleep(LIFE_SECONDS)


def main():
    if "--version" in sys.argv:
        print("QEMU emulator version 8.0.0")
        return
    if "help" in sys.argv:
        return
    scenario = os.environ.get("MOCK_HOST", "well")
    signal.alarm(LIFE_SECONDS)
    if scenario == "no_memory":
        no_memory(None)
    control = Control()
    monitor = Monitor(value("socket,id=qmp,path="))
    monitor.agreed.wait()
    globals()[scenario](control)


if __name__ == "__main__":
    main()
