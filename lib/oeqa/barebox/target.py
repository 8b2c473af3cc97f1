# SPDX-License-Identifier: MIT
"""The machine under test with its two states, off and shell, reached when they are asked for."""

from __future__ import annotations

import contextlib
import functools
import random
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Callable

from . import accelerator, changes, dialect, evidence, flash, hold, load, mmio, qemu, starter
from .console import Boot, Console, Result
from .errors import BareboxError, GuestError, SetupError, ShellError, Unavailable
from .evidence import Evidence
from .firmware import Firmware
from .hazards import plugin
from .hold import Held
from .known_issues import KnownIssue
from .linux import Linux
from .machine import Device, Machine
from .nested.host import Host
from .peer import Answer, Peer
from .process import RunFolder, Running
from .starter import Launch
from .variant import Drive, Variant
from .watch import Watch

DISK_SIZE = 16 << 20
DOWNLOAD_SIZE = 4 << 20
BOOT_SECONDS = 90.0
SILENCE_SECONDS = 20.0
TRIAL_SILENCE_SECONDS = 10.0
END_SECONDS = 20.0
WATCHED = 3
"""How many times longer a watched machine may take for everything."""


class Target:
    """One machine with one firmware. Used as a context, it leaves nothing behind.

    :param program: the QEMU that ``launch`` starts
    :param launch: accelerator and QEMU's further options to the whole command; a start without runqemu when left out
    :param logs: folder for the console's and QEMU's logs, one pair a start
    :param env: the environment of ``launch``'s command; this process's own when left out
    :param hazards: the plugin that watches for hazards, ready; built when it is needed where left out
    :param host: the KVM host for the accelerator nested; it ends with the target
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
        self._commands: frozenset[str] | None = None
        self._evidence = Evidence(evidence_folder, replay)
        self.seed = random.getrandbits(32) if seed is None else seed
        self._holder = holder
        self.held = False
        """Whether a machine was held: who held it has seen enough, and no more cases are run."""

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    # States

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

    def run(self, command: str, seconds: float = 30.0) -> Result:
        """Run a command at the bootloader's prompt. After a guest's failure the next one starts the machine anew.

        :raises GuestError: the guest failed, with its last lines and the way to repeat it
        """
        console = self.shell()
        self._starter.sync()
        try:
            result = console.run(command, seconds * self._patience)
        except ShellError:
            raise
        except GuestError as error:
            raise self._lost(error) from None
        self._heed()
        return result

    def reset(self, command: str = "") -> Boot:
        """Have the guest reset itself, and wait for the prompt.

        :param command: what ends in a reset, the bootloader's own command when empty; what it prints is in the boot's
            text
        :raises GuestError: it does not come back
        """
        console = self.shell()
        assert self._process is not None
        self._starter.sync()
        started = time.monotonic()
        console.send(command or self.dialect.reset)
        try:
            boot = console.boot(started, self._boot_seconds * self._patience)
        except GuestError as error:
            raise self._lost(error) from None
        if not self._process.was_reset():
            raise self._lost(GuestError("a prompt after the reset command, but QEMU tells of no reset"))
        self.boots.append(boot)
        return boot

    def poweroff(self) -> int | None:
        """Have the guest switch itself off, and tell QEMU's exit status.

        :raises GuestError: QEMU still runs after a while
        """
        console = self.shell()
        process = self._process
        assert process is not None
        console.send(self.dialect.poweroff)
        try:
            console.wait_end(END_SECONDS * self._patience)
        except GuestError as error:
            raise self._lost(error) from None
        status = process.wait(END_SECONDS)
        self.off()
        return status

    def want(self, variant: Variant) -> None:
        """Have the machine as ``variant`` tells from now on. It is switched off and its disks are made anew where it is
        another one.

        :raises Unavailable: the host lacks what makes a disk's or the flash's contents, or the accelerator cannot do it
        """
        if variant == self._variant:
            return
        if reason := self._starter.refusal(variant):
            raise Unavailable(reason)
        if variant.icount and self.accelerator.name not in ("", "tcg"):
            raise Unavailable(f"instructions are counted under TCG; this run's accelerator is {self.accelerator.name}")
        self.discard()
        self._failed = None
        for old in self.files.folder.glob(f"*{changes.INITIAL}"):
            old.unlink()
        for drive in variant.drives:
            drive.make(self.files.disk(drive))
            if self._evidence.wanted:
                changes.keep(self.files.disk(drive))
        bank = self.machine.bootloader(self.firmware.bootloader).flash
        if variant.flash and bank:
            flash.make(self.files.flash(), bank, self.firmware)
        self._variant = variant

    def discard(self) -> None:
        """Switch off and go back to the described machine, so that the next variant's disks are made anew."""
        self.off()
        self._variant = Variant()

    def cut(self, command: str = "", seconds: float = 0.0, until: str = "") -> str:
        """Cut the power: QEMU is killed and writes nothing more.

        :param command: is typed before, and not waited for
        :param seconds: how long it may run
        :param until: a regular expression; it runs until it prints that, and no longer than ``seconds``
        :return: what the guest printed meanwhile
        :raises GuestError: QEMU ended by itself, or the guest does not print what is awaited
        """
        text = ""
        if command:
            console = self.shell()
            console.send(command)
            try:
                text = console.await_text(until, seconds * self._patience) if until else console.watch(seconds)
            except GuestError as error:
                raise self._lost(error) from None
        if self._process is not None:
            self._process.cut()
            if self._watch is not None:
                self._watch.cut()
        self.off()
        return text

    @contextlib.contextmanager
    def handed_over(self, command: str, until: str, seconds: float = 60.0) -> Iterator[str]:
        """A time in which something runs that the bootloader started, and what was printed by then. The machine can be
        looked into from outside meanwhile, and is off at the end.

        :param command: starts it
        :param until: a regular expression for what it prints once it runs
        :raises GuestError: it does not print that, or the bootloader's prompt is back
        """
        console = self.shell()
        self._starter.sync()
        console.send(command)
        try:
            yield console.await_text(until, seconds * self._patience)
        except GuestError as error:
            raise self._lost(error) from None
        finally:
            self.off()

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

    @contextlib.contextmanager
    def watched(self) -> Iterator[Watch]:
        """A time in which each start, and the first one is to come, shows what KVM could not have emulated. The machine
        is off at its end, and then the watch has its report.

        :raises Unavailable: another accelerator than TCG is in use, or this QEMU loads no plugin
        :raises SetupError: the plugin cannot be built, or QEMU did not end in an orderly way
        """
        if not self.accelerator.name:
            self.start()
        if self.accelerator.name != "tcg":
            raise Unavailable(f"hazards are watched under TCG; this run's accelerator is {self.accelerator.name}")
        if self._watch is not None:
            raise Unavailable("this run is watched for hazards already")
        loaded = plugin.get(self.program.path, self._hazards)
        self.off()
        self._watch = watch = Watch(loaded, self.machine, self.firmware, self.files.folder)
        try:
            yield watch
            self.off()
            watch.ended()
        finally:
            self.off()
            self._watch = None

    # What cases ask

    @property
    def program(self) -> qemu.Program:
        """The QEMU that runs the machine."""
        return self._starter.program

    def devices(self, kind: str) -> tuple[Device, ...]:
        """The devices of a kind that the bootloader can use and this QEMU has."""
        known = self.machine.of_kind(kind, self.firmware.bootloader)
        return tuple(d for d in known if not self.program.lacks(d))

    def node(self, device: Device | Drive) -> str:
        """How the bootloader calls the device. A variant's disks are numbered on after the described ones."""
        if isinstance(device, Device):
            return device.node[self.firmware.bootloader]
        last = re.fullmatch(r"(.*?)(\d+)", self.node(self.devices("block")[-1]))
        assert last is not None
        return f"{last[1]}{int(last[2]) + 1 + self._variant.drives.index(device)}"

    def hardware_address(self, device: Device) -> str:
        """The hardware address that QEMU gives a network device."""
        return qemu.mac(self.devices("net").index(device))

    def commands(self) -> frozenset[str]:
        """The commands that the bootloader itself lists."""
        if self._commands is None:
            text = "\n".join(self.run("help").lines)
            self._commands = frozenset(re.findall(r"[\w.\[?-]+", text))
        return self._commands

    @property
    def files(self) -> qemu.Files:
        """The host's side of the devices."""
        if self._folder is None:
            self._folder = RunFolder()
            self._fill(qemu.Files(self._folder.path))
        return self._starter.files(self._folder.path)

    def device_tree(self) -> bytes:
        """QEMU's own device tree of the machine, as a blob.

        :raises RequestRefused: the machine has none
        """
        self.query("dumpdtb", filename=str(qemu.Files(self.files.folder).device_tree()))
        return self.files.device_tree().read_bytes()

    def memory(self, address: int, length: int) -> bytes:
        """What QEMU sees in the guest's memory at a physical address; many times faster than the guest's own dump.

        :raises RequestRefused: there is no memory
        """
        self.shell()
        try:
            return self._read(address, length)
        except ConnectionError as error:
            raise self._lost(GuestError(str(error))) from None

    def _read(self, address: int, length: int) -> bytes:
        assert self._process is not None
        path = qemu.Files(self.files.folder).memory()
        self._process.qmp.execute("pmemsave", val=address, size=length, filename=str(path))
        return self.files.memory().read_bytes()

    def peer(self, answer: Answer) -> Peer:
        """The test's end of the first network of a variant with ``peer``, to be used as a context."""
        return Peer(self.files.ends(), answer)

    def query(self, name: str, /, **arguments: object) -> Any:
        """QEMU's answer to a QMP request.

        :raises RequestRefused: the answer is an error
        :raises GuestError: QEMU is gone
        """
        self.shell()
        assert self._process is not None
        try:
            return self._process.qmp.execute(name, **arguments)
        except ConnectionError as error:
            raise self._lost(GuestError(str(error))) from None

    def events(self) -> list[Mapping[str, Any]]:
        """What QEMU told of itself (QMP events) since it was asked last."""
        self.query("query-status")
        assert self._process is not None
        return self._process.qmp.events()

    @contextlib.contextmanager
    def mmio_writes(self, region: str) -> Iterator[list[tuple[int, int]]]:
        """A time in which the guest's writes to a device's memory region are collected: address and value of each.

        :param region: QEMU's name of it, as in "info mtree"
        :raises Unavailable: this QEMU does not tell
        """
        if not self._starter.files_are_here:
            raise Unavailable(f"{self.accelerator.name}: what QEMU traces stays in the KVM host")
        self.shell()
        assert self._process is not None
        with mmio.writes(self._process, region, self.files.folder / "trace.log") as found:
            yield found

    def expected_failure(self, case: str) -> KnownIssue | None:
        """The known issue that makes a case, ``module.Class.test``, fail here."""
        version = self.firmware.version or (self.boots[0].version if self.boots else "")
        for issue in self.known_issues:
            if issue.covers(case) and issue.concerns(self.firmware, self.machine.name, self.accelerator.name, version):
                return issue
        return None

    # Evidence

    def begin(self) -> None:
        """A case begins: what was known of an earlier failure is forgotten."""
        self._evidence.snapshot = None

    def keep_evidence(self, case: str, message: str) -> str:
        """Write all that is known of the machine, which may still run, and return a line for the failure's text."""
        if not self._evidence.wanted:
            return ""
        if self._evidence.snapshot is None and self._process is not None:
            self._evidence.snapshot = evidence.take(self._process, self._console, self._read)
            if self._console is not None:
                evidence.ask(self._console, self._evidence.snapshot)
        disks = [] if self._folder is None else self._changed_disks(qemu.Files(self._folder.path))
        about = evidence.Facts(self.info(), self.machine.arch, self.firmware)
        return self._evidence.write(case, message, about, disks)

    def hold(self, what: str) -> str:
        """Hold the machine, where somebody wants that, and tell why it cannot be held; empty where it was."""
        if self._holder is None or self._process is None:
            return ""
        files = evidence.elves(self.firmware)
        try:
            held = Held(what, self.machine.arch, self._process, self.files.folder, self._read, files)
        except (ConnectionError, GuestError) as error:
            return f"not held: {hold.reason(error)}"
        self.held = True
        self._holder(held)
        return ""

    def _changed_disks(self, files: qemu.Files) -> list[Path]:
        """The disks that are at hand as they were at first; those of which that can be made again are, only now."""
        noise = random.Random(self.seed)
        bank = self.machine.bootloader(self.firmware.bootloader).flash
        with contextlib.suppress(OSError, BareboxError):
            for disk in files.disks(self.machine):
                changes.initial(disk).write_bytes(noise.randbytes(DISK_SIZE))
            if self._variant.flash and bank:
                flash.make(changes.initial(files.flash()), bank, self.firmware)
        return sorted(path.with_suffix("") for path in files.folder.glob(f"*{changes.INITIAL}"))

    def info(self) -> dict[str, object]:
        """What ran where, for the results."""
        boot = self.boots[0] if self.boots else None
        return {
            "MACHINE": self.machine.name,
            "BOOTLOADER": self.firmware.bootloader,
            "BOOTLOADER_VERSION": boot.version if boot else self.firmware.version,
            "BOOTLOADER_COMMIT": self.firmware.commit,
            "BOOTLOADER_PATCHES": list(self.firmware.patches or ()),
            "ACCELERATOR": self.accelerator.name,
            "ACCELERATOR_REASON": self.accelerator.reason,
            "QEMU_VERSION": self.program.version,
            "RANDOM_SEED": self.seed,
            "BOOT_SECONDS": round(boot.seconds, 3) if boot else None,
            **self._starter.info(),
        }

    # Inside

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
        start = self._starter.start
        self._process = start(self.accelerator.name, self._folder, errors, seconds, self._variant, self._watch)
        pipes = self._process.console
        was_reset = self._process.was_reset
        silence *= self._patience
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

    def _fill(self, files: qemu.Files) -> None:
        """Disks, a file for TFTP and folders to share, with contents that differ in each run."""
        noise = random.Random(self.seed)
        try:
            for folder in files.folders(self.machine):
                folder.mkdir()
            for disk in files.disks(self.machine):
                disk.write_bytes(noise.randbytes(DISK_SIZE))
            (files.tftp() / "download.bin").write_bytes(noise.randbytes(DOWNLOAD_SIZE))
        except OSError as error:
            self.stop()
            raise SetupError(f"{files.folder}: {error.strerror}. Set TMPDIR to a folder with 100 MB of room.") from None
