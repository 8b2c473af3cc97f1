# SPDX-License-Identifier: MIT
"""What is done to the machine under test: commands, resets, power failures, other machines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from .console import Boot, Result
from .errors import GuestError, ShellError, Unavailable
from .hazards import plugin
from .power import Power
from .variant import Variant
from .watch import Watch

END_SECONDS = 20.0


class States(Power):
    """A machine with its two states, off and shell, reached when they are asked for."""

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

    def reset(self, command: str = "", panics: bool = False) -> Boot:
        """Have the guest reset itself, and wait for the prompt.

        :param command: what ends in a reset, the bootloader's own command when empty; what it prints is in the boot's
            text
        :param panics: it ends in a panic, after which the bootloader resets itself
        :raises GuestError: it does not come back
        """
        console = self.shell()
        assert self._process is not None
        self._starter.sync()
        started = time.monotonic()
        console.send(command or self.dialect.reset)
        try:
            boot = console.boot(started, self._boot_seconds * self._patience, panics)
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
        if self.accelerator.name not in ("", "tcg") and (variant.icount or variant.board or variant.cpu):
            what = "instructions are counted" if variant.icount else "another board or processor is there"
            raise Unavailable(f"{what} under TCG; this run's accelerator is {self.accelerator.name}")
        self.discard()
        self._failed = None
        self._contents.make(self.files, variant, self._evidence.wanted)
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
