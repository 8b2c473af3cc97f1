# SPDX-License-Identifier: MIT
"""A KVM host that runs: its start, cold or from a saved state, and what its kernel says."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import time
from collections.abc import Mapping
from pathlib import Path

from .. import qemu
from ..deadline import Deadline
from ..errors import RequestRefused, SetupError
from ..process import Process, RunFolder
from ..qemu import Program
from . import command
from .description import Description
from .image import Image
from .ports import Agent, HostError, Port

START_SECONDS = 120.0
SAVE_SECONDS = 60.0
PORTS = ("control", "files", "end", "console")
DISKS = "mkdir -p /dev/disk; for d in /sys/block/vd*; do ln -sf /dev/${d##*/} /dev/disk/$(cat $d/serial); done"
PROGRAM = "qemu.txt"
QUESTIONS = "{0} --version; {0} -machine none -device help"
POLL_SECONDS = 0.02
STATES = 4  # of some 200 MB each
TAIL = 12
MEMORY_INFO = Path("/proc/meminfo")


class Host:
    """A KVM host.

    :param program: the QEMU that emulates it
    :param env: the environment of QEMU; this process's own when left out
    """

    def __init__(
        self,
        description: Description,
        image: Image,
        program: Program,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.description = description
        self.image = image
        self.program = program
        self.warm = False
        self.start_seconds = 0.0
        self.agent: Agent | None = None
        self.ports: dict[str, Port] = {}
        self.guest_qmp = Path()
        self._env = env
        self._process: Process | None = None
        self._log = Path()
        self._heard = 0

    def __str__(self) -> str:
        return f"{self.image.source}, Linux {self.image.kernel_release}, in QEMU {self.program.version}"

    @property
    def running(self) -> bool:
        """Whether the host is there; whether it still answers is another question."""
        return self._process is not None and self._process.wait(0) is None

    def start(self, folder: RunFolder, memory: int, disks: Mapping[str, Path], log: Path) -> Agent:
        """Boot the host, from a saved state where there is one.

        :param memory: MiB for a guest
        :param disks: disk images by the name that they get in the host's /dev/disk
        :param log: file for the console of the host's kernel
        :raises SetupError: it does not come up, or cannot run guests
        """
        self._refuse_small_memory(memory)
        started = time.monotonic()
        command = self.command(folder.path, memory, disks, log)
        state = self.image.folder / f"state-{self._shape(memory, disks)}"
        self.warm = state.exists() and self._resume(folder, command, log, state)
        if not self.warm:
            self._launch(folder, command, log)
            self._settle()
            self._save(state)
        assert self.agent is not None
        self.agent.run(DISKS)
        self.start_seconds = time.monotonic() - started
        return self.agent

    def complaints(self) -> list[str]:
        """What KVM complained of since this was asked last."""
        if not self._log.is_file():
            return []
        with self._log.open("rb") as stream:
            stream.seek(self._heard)
            text = stream.read()
        whole, end, _ = text.rpartition(b"\n")
        self._heard += len(whole) + len(end)
        patterns = re.compile("|".join(self.description.complaints))
        return [x.strip() for x in whole.decode(errors="replace").splitlines() if patterns.search(x)]

    def command(self, folder: Path, memory: int, disks: Mapping[str, Path], log: Path | None = None) -> list[str]:
        """The command that starts the host with its sockets in ``folder``."""
        options = [
            *command.kernel_args(self.description, "quiet"),
            *command.port_args({name: folder / f"port-{name}" for name in PORTS}, folder / "guest-qmp"),
            *command.disk_args(disks),
            *command.monitor_args(log or folder / "host.log", folder / "qmp"),
        ]
        return command.command(self.description, self.image, self.program, memory, options)

    def known_program(self) -> Program | None:
        """The QEMU in the host; None where it was never asked what it is."""
        kept = self.image.folder / PROGRAM
        return qemu.understand(self.description.program, kept.read_text("utf-8")) if kept.exists() else None

    def guest_program(self) -> Program:
        """The QEMU in the running host."""
        if (known := self.known_program()) is not None:
            return known
        assert self.agent is not None
        answer = self.agent.run(QUESTIONS.format(self.description.program))
        _keep(self.image.folder / PROGRAM, answer.encode())
        return qemu.understand(self.description.program, answer)

    def stop(self) -> None:
        """End the host, whatever it does."""
        if self._process is not None:
            self._process.kill()
        for port in self.ports.values():
            port.close()
        self.agent, self.ports, self._process, self._heard = None, {}, None, 0
        if self.guest_qmp.name:
            self.guest_qmp.unlink(missing_ok=True)

    def evidence(self) -> str:
        """The last words of the host's kernel and of its QEMU, and where they are."""
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.is_file() else ""
        tail = "\n".join([x.rstrip() for x in text.splitlines() if x.strip()][-TAIL:]) or "(nothing)"
        said = self._process.said() if self._process else ""
        return f"the KVM host's last words:\n{tail}\nits QEMU said: {said or '(nothing)'}\nits log: {self._log}"

    # Inside

    def _launch(self, folder: RunFolder, command: list[str], log: Path) -> None:
        self.stop()
        self._log, self.guest_qmp = log, folder.path / "guest-qmp"
        self.ports = {name: Port(folder.path / f"port-{name}") for name in PORTS}
        errors = log.with_suffix("").with_suffix(".qemu.log")
        try:
            self._process = Process(command, folder, errors, START_SECONDS, self._env)
        except BaseException:
            self.stop()
            raise
        self.agent = Agent(self.ports["control"], self.ports["files"], self.evidence)

    def _settle(self) -> None:
        """Wait for a host that boots."""
        assert self.agent is not None
        try:
            self.agent.wait_ready(START_SECONDS)
        except BaseException:
            self.stop()
            raise

    def _shape(self, memory: int, disks: Mapping[str, Path]) -> str:
        """A digest of what a saved state depends on: the hardware, disks' sizes included, and who emulates it."""
        hardware = self.command(Path("/"), memory, {name: Path(name) for name in disks}, Path("/"))
        sizes = [path.stat().st_size for path in disks.values()]
        return hashlib.sha256(repr([hardware, sizes, self.program.version]).encode()).hexdigest()[:16]

    def _resume(self, folder: RunFolder, command: list[str], log: Path, state: Path) -> bool:
        """Start from a saved state; one that does not load is removed."""
        try:
            self._launch(folder, [*command, "-incoming", f"exec:cat {shlex.quote(str(state))}"], log)
            assert self.agent is not None and self._process is not None
            self._poll("query-status", {"paused"}, {"internal-error", "guest-panicked"})
            self._process.qmp.execute("cont")
            self.agent.run("true")
            with contextlib.suppress(OSError):
                os.utime(state)
        except (SetupError, ConnectionError, RequestRefused):
            self.stop()
            with contextlib.suppress(OSError):
                state.unlink()
            return False
        except BaseException:
            self.stop()
            raise
        return True

    def _save(self, state: Path) -> None:
        """Save the state for the next start. Where that fails, the next start is a cold one."""
        if not os.access(state.parent, os.W_OK):
            return
        assert self._process is not None
        qmp, draft = self._process.qmp, state.with_name(f"draft-{state.name}-{os.getpid()}")
        try:
            qmp.execute("stop")
            qmp.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
            qmp.execute("migrate", uri=f"exec:cat >{shlex.quote(str(draft))}")
            self._poll("query-migrate", {"completed"}, {"failed", "cancelled"})
            draft.replace(state)
            _prune(state.parent)
        except (SetupError, ConnectionError, RequestRefused, OSError):
            draft.unlink(missing_ok=True)
        finally:
            with contextlib.suppress(ConnectionError, RequestRefused):
                qmp.execute("cont")

    def _poll(self, question: str, good: set[str], bad: set[str]) -> None:
        """Ask QEMU until it is in one of the states ``good``."""
        assert self._process is not None
        deadline = Deadline(SAVE_SECONDS)
        while (status := self._process.qmp.execute(question).get("status")) not in good:
            if status in bad or deadline.expired:
                raise HostError(f"{question}: {status}")
            time.sleep(POLL_SECONDS)

    def _refuse_small_memory(self, memory: int) -> None:
        needed = self.description.qemu.memory + memory
        match = re.search(r"MemAvailable: *(\d+) kB", MEMORY_INFO.read_text()) if MEMORY_INFO.exists() else None
        if match and int(match.group(1)) >> 10 < needed:
            raise SetupError(
                f"not enough memory: the KVM host takes {needed} MiB (its own {self.description.qemu.memory} and its "
                f"guest's {memory}), {int(match.group(1)) >> 10} MiB are available"
            )


def _keep(path: Path, data: bytes) -> None:
    """Write a file at once; where the folder is read-only, do without."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        draft.write_bytes(data)
        draft.replace(path)


def _prune(folder: Path) -> None:
    """Keep the states that were used last, and no draft that a killed run left."""
    states = sorted(folder.glob("state-*"), key=lambda p: p.stat().st_mtime)
    drafts = [p for p in folder.glob("draft-state-*") if time.time() - p.stat().st_mtime > SAVE_SECONDS]
    for old in [*states[:-STATES], *drafts]:
        old.unlink(missing_ok=True)
