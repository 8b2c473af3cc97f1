# SPDX-License-Identifier: MIT
"""The machine under test: its starts and its end, and what is done when a guest is lost."""

from __future__ import annotations

import contextlib
import functools
import random
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Callable, TypeVar

from . import accelerator, dialect, evidence, load, qemu, starter
from .console import Boot, Console
from .contents import Contents
from .errors import GuestError, SetupError
from .evidence import Evidence
from .firmware import Firmware
from .hold import Held
from .known_issues import KnownIssue
from .linux import Linux
from .machine import Machine
from .nested.host import Host
from .process import RunFolder, Running
from .starter import Launch
from .variant import Variant
from .watch import Watch

BOOT_SECONDS = 90.0
SILENCE_SECONDS = 20.0
TRIAL_SILENCE_SECONDS = 10.0
SLOW_FLASH = 4
"""How many times longer a start from a flash may be silent that is slow to write."""
WATCHED = 3
"""How many times longer a watched machine may take for everything."""
Self = TypeVar("Self", bound="Power")


class Power:
    """One machine with one firmware. Used as a context, it leaves nothing behind.

    :param program: the QEMU that ``launch`` starts
    :param launch: accelerator and QEMU's further options to the whole command; a start without runqemu when left out
    :param logs: folder for the console's and QEMU's logs, one pair a start
    :param env: the environment of ``launch``'s command; this process's own when left out
    :param hazards: the plugin that watches for hazards, ready; built when it is needed where left out
    :param host: the KVM host for the accelerator nested; it ends with the target
    :param signing_key: signs FIT images that the firmware trusts; where it is left out, cases with such are skipped
    :param linux: a Linux to boot in cases; where it is left out, they are skipped
    :param boot_seconds: deadline from a start to the prompt
    :param silence_seconds: a busy guest that says nothing for so long is taken for dead
    :param slow: whether slow cases are run, too
    :param evidence_folder: for a folder of evidence for each failed case; none is written where it is left out
    :param replay: makes the commands that run one case again, for the evidence
    :param seed: of what cases and disks have of random data; a new one where it is left out
    :param holder: is given each machine that failed, paused, and keeps it as long as it likes
    :raises BareboxError: the accelerator is unknown or cannot be had
    """

    held = False
    """Whether a machine was held: who held it has seen enough, and no more cases are run."""
    seed = 0
    _variant = Variant()
    _holder: Callable[[Held], None] | None = None
    _evidence = Evidence()
    _watch: Watch | None = None

    def __init__(
        self,
        machine: Machine,
        firmware: Firmware,
        program: qemu.Program,
        logs: Path,
        accel: str = "auto",
        launch: Launch | None = None,
        known_issues: Sequence[KnownIssue] = (),
        env: Mapping[str, str] | None = None,
        boot_seconds: float = BOOT_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        slow: bool = False,
        hazards: Path | None = None,
        host: Host | None = None,
        evidence_folder: Path | None = None,
        replay: evidence.Replay | None = None,
        holder: Callable[[Held], None] | None = None,
        linux: Linux | None = None,
        seed: int | None = None,
        signing_key: Path | None = None,
    ) -> None:
        self.machine = machine
        self.firmware = firmware
        self.dialect = dialect.get(firmware.bootloader)
        self.known_issues = tuple(known_issues)
        self.plan = accelerator.plan(accel, machine)
        self.accelerator = accelerator.Choice("")
        self.boots: list[Boot] = []
        self.symbols = firmware.symbols()
        self.slow = slow
        self.linux = linux
        self.signing_key = signing_key
        self._starter = starter.make(machine, firmware, program, self.plan.tries, launch, env, host)
        self.logs = logs
        self._hazards = hazards
        self._boot_seconds = boot_seconds
        self._silence_seconds = silence_seconds
        self._process: Running | None = None
        self._console: Console | None = None
        self._ended = contextlib.ExitStack()
        self._folder: RunFolder | None = None
        self._failed: GuestError | None = None
        self._starts = 0
        self._evidence = Evidence(evidence_folder, replay)
        self.seed = random.getrandbits(32) if seed is None else seed
        self._holder = holder
        self._contents = Contents(machine, firmware, self.seed)

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> Boot:
        """Settle the accelerator and boot to the prompt. Only here, before the first case, auto may fall back to TCG.

        :raises SetupError: QEMU cannot be started
        :raises GuestError: the guest does not come to its prompt
        """
        refused = dict(self.plan.refused)
        for name in self.plan.tries:
            last = name == self.plan.tries[-1]
            self.accelerator = accelerator.Choice(name, "; ".join(f"no {k}: {v}" for k, v in refused.items()))
            try:
                return self._boot(self._silence_seconds if last else TRIAL_SILENCE_SECONDS)
            except (SetupError, GuestError) as error:
                if last:
                    raise
                refused[name] = " ".join(str(error).splitlines()[:1])
        raise AssertionError("a plan has at least one accelerator")

    def shell(self) -> Console:
        """The console at its prompt; the machine is started when it is off.

        :raises GuestError: the guest does not come to its prompt, or did not twice before
        """
        if self._console is None:
            if self._failed is not None and self._starts > 1:
                why = str(self._failed).partition("\n")[0]
                raise GuestError(f"not started again, since it failed twice: {why}\nlogs: {self.logs}")
            if self.accelerator.name:
                self._boot(self._silence_seconds)
            else:
                self.start()
        assert self._console is not None
        return self._console

    def off(self) -> None:
        """Switch the machine off from outside, whatever it does."""
        if self._process is not None:
            self._process.quit()
        self._process = self._console = None
        self._ended.close()

    def stop(self) -> None:
        """Switch off and remove everything temporary."""
        self.off()
        self._starter.stop()
        if self._folder is not None:
            self._folder.close()
        self._folder = None

    @property
    def program(self) -> qemu.Program:
        """The QEMU that runs the machine."""
        return self._starter.program

    @property
    def files(self) -> qemu.Files:
        """The host's side of the devices."""
        if self._folder is None:
            self._folder = RunFolder()
            try:
                self._contents.fill(qemu.Files(self._folder.path))
            except SetupError:
                self.stop()
                raise
        return self._starter.files(self._folder.path)

    def _read(self, address: int, length: int) -> bytes:
        assert self._process is not None
        path = qemu.Files(self.files.folder).memory()
        self._process.qmp.execute("pmemsave", val=address, size=length, filename=str(path))
        return self.files.memory().read_bytes()

    @property
    def _patience(self) -> float:
        """How many times as long as on plain QEMU everything may take."""
        return self._starter.patience * (WATCHED if self._watch is not None else 1)

    def _boot(self, silence: float) -> Boot:
        self.off()
        self._starts += 1
        assert self.files and self._folder is not None
        name = f"{self.machine.name}-{self.accelerator.name}-{self._starts}"
        log = self._ended.enter_context(self._open_log(f"{name}.console.log"))
        errors = self.logs / f"{name}.qemu.log"
        seconds = self._boot_seconds * self._patience
        name = self.accelerator.name
        self._process = self._starter.start(name, self._folder, errors, seconds, self._variant, self._watch)
        pipes, was_reset = self._process.console, self._process.was_reset
        flash = self.machine.bootloader(self.firmware.bootloader).flash
        silence *= self._patience * (SLOW_FLASH if self._variant.flash and flash and flash.slow else 1)
        waited = functools.partial(load.waited, self._process.pid)
        self._console = Console(pipes.from_guest, pipes.to_guest, self.dialect, log, was_reset, silence, waited)
        try:
            boot = self._console.boot(self._process.started, seconds)
        except GuestError as error:
            self._failed = self._lost(error)
            raise self._failed from None
        except BaseException:
            self.off()
            raise
        self._console.silence = self._silence_seconds * self._patience
        if self._watch is not None:
            self._watch.started(self._process.qmp.execute)
        self._failed = None
        self.boots.append(boot)
        self._heed()
        return boot

    def _heed(self) -> None:
        """Fail where the kernel that runs KVM complained."""
        if complaints := self._starter.complaints():
            raise self._lost(GuestError("KVM complained: " + "\n".join(complaints)))

    def _open_log(self, name: str) -> IO[str]:
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            return (self.logs / name).open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise SetupError(f"{self.logs / name}: {error.strerror}. Name a folder that can be written.") from None

    def _lost(self, error: GuestError) -> GuestError:
        """Switch off a machine whose state nobody knows, and put the evidence into the error."""
        process = self._process
        if process is None:
            return error
        if self._evidence.wanted and self._evidence.snapshot is None:
            self._evidence.snapshot = evidence.take(process, self._console, self._read)
        with contextlib.suppress(ConnectionError):
            state = process.qmp.execute("query-status")["status"]
            if state != "running":
                error = GuestError(f"{error}\nQEMU's state: {state}")
        complaints = "".join(f"\nthe host's kernel said: {x}" for x in self._starter.complaints())
        if self._holder is None:
            self.off()
        self._console = None  # a machine that is to be held stays as it is, and is switched off before the next start
        said = process.said()
        return GuestError(
            f"{error}{complaints}\naccelerator: {self.accelerator.name}\nQEMU said: {said or '(nothing)'}\n"
            f"log: {process.errors.with_suffix('').with_suffix('.console.log')}\ncommand: {shlex.join(process.command)}"
        )
