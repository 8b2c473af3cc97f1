# SPDX-License-Identifier: MIT
"""The console against transcripts, over the same kind of pipes that QEMU gets."""

import io
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from oeqa.barebox import console, dialect, load
from oeqa.barebox.console import Console
from oeqa.barebox.errors import GuestError, ShellError, UsageError

BAREBOX_START = (
    "\x1b[2J\x1b[01;01H\r\n\r\nbarebox 2026.06.1 #1 Mon Nov 23 17:18:29 UTC 2026\r\n\r\n\r\n"
    "Board: barebox EFI payload\r\nmalloc space: 0x1d058000\r\n\x1b[?25h\r\n"
    "Hit m for menu or any to stop autoboot:    3"
)
BITBAKE_START = (
    "\r\n\r\nbarebox 2026.06.1 #1 Mon Nov 23 17:18:29 UTC 2026\r\nBuildsystem version: 46c8561-dirty\r\n\r\n\r\n"
    "Board: ARM QEMU virt64\r\nmalloc space: 0x50000000\r\nHit m for menu or any to stop autoboot:    3"
)
EFI_PROMPT = "\x1b[0m\x1b[32m\x1b[40mbarebox@\x1b[0m\x1b[36m\x1b[40mbarebox EFI payload:/\x1b[0m\x1b[37m\x1b[40m "
RISCV_PROMPT = "\x1b[1;32mbarebox@\x1b[1;36mriscv-virtio,qemu:/mnt/9p\x1b[0m "
U_BOOT_START = (
    "U-Boot SPL 2023.01+dfsg-2 (Jun 22 2026 - 08:38:07 +0000)\r\nTrying to boot from SPI\r\n\r\n"
    "U-Boot 2023.01+dfsg-2 (Jun 22 2026 - 08:38:07 +0000)\r\n\r\nCPU:   QEMU\r\nDRAM:  512 MiB\r\n"
    "Hit any key to stop autoboot:  2 "
)


class Guest:
    """The other end: says what it is told, and answers lines by a function."""

    def __init__(self):
        self._read, self.to_guest = os.pipe()
        self.from_guest, self._write = os.pipe()
        self.log = io.StringIO()
        self.heard = []

    def console(self, name="barebox", silence=1.0, was_reset=lambda: False, waited=lambda: 0.0):
        return Console(self.from_guest, self.to_guest, dialect.get(name), self.log, was_reset, silence, waited)

    def say(self, text):
        os.write(self._write, text.encode())

    def play(self, script):
        """Run ``script``, a function of this guest, beside the test."""
        threading.Thread(target=script, args=(self,), daemon=True).start()

    def line(self, echo=True):
        text = ""
        while not text.endswith("\r"):
            text += os.read(self._read, 1).decode()
        self.heard.append(text[:-1])
        if echo:
            self.say(text[:-1] + "\r\n")
        return text[:-1]

    def key(self):
        return os.read(self._read, 1)

    def end(self):
        os.close(self._write)


@pytest.fixture
def guest():
    return Guest()


def marker(line):
    """What the echo behind a command prints, without the status."""
    return line.rpartition("echo ")[2].replace('""', "").replace("$?", "")


def answering(output, status=0, prompt=RISCV_PROMPT):
    def script(guest):
        line = guest.line()
        guest.say(f"{output}{marker(line)}{status}\r\n{prompt}")

    return script


@pytest.mark.parametrize("prompt", [EFI_PROMPT, RISCV_PROMPT, "barebox@ARM QEMU virt64:/ "])
def test_boot_finds_the_prompt_whatever_the_colours(guest, prompt):
    def script(guest):
        guest.say(BAREBOX_START)
        guest.key()
        guest.say("\r\n" + prompt)

    guest.play(script)
    boot = guest.console().boot(time.monotonic(), 5)
    assert (boot.version, boot.build) == ("2026.06.1", "#1 Mon Nov 23 17:18:29 UTC 2026")
    assert boot.board == "barebox EFI payload"


def test_boot_after_a_panic_that_was_asked_for(guest):
    def script(guest):
        guest.say("PANIC: unable to handle\r\nx0 : 5eed\r\n" + BAREBOX_START)
        guest.key()
        guest.say("\r\nbarebox@ARM QEMU virt64:/ ")

    guest.play(script)
    boot = guest.console().boot(time.monotonic(), 5, panics=True)
    assert boot.text.startswith("PANIC: unable to handle\r\nx0 : 5eed")


def test_one_panic_is_enough(guest):
    guest.play(lambda guest: guest.say("PANIC: first\r\n" + BAREBOX_START + "\r\nPANIC: second\r\n"))
    with pytest.raises(GuestError, match="panicked: PANIC: second"):
        guest.console().boot(time.monotonic(), 5, panics=True)


def test_boot_finds_the_banner_of_a_build_system(guest):
    def script(guest):
        guest.say(BITBAKE_START)
        guest.key()
        guest.say("\r\nbarebox@ARM QEMU virt64:/ ")

    guest.play(script)
    boot = guest.console().boot(time.monotonic(), 5)
    assert (boot.version, boot.build) == ("2026.06.1", "#1 Mon Nov 23 17:18:29 UTC 2026")
    assert boot.board == "ARM QEMU virt64"


def test_boot_of_u_boot_ignores_the_spl(guest):
    def script(guest):
        guest.say(U_BOOT_START)
        guest.key()
        guest.say("\x08\x08\x08 0 \r\n=> ")

    guest.play(script)
    assert guest.console("u-boot").boot(time.monotonic(), 5).version == "2023.01+dfsg-2"


def test_escapes_split_between_reads(guest):
    def script(guest):
        guest.say(BAREBOX_START)
        guest.key()
        for part in ("\r\n\x1b", "[1;3", "2mbare", "box@\x1b[1;36mx:", "/\x1b[", "0m "):
            guest.say(part)
            time.sleep(0.01)

    guest.play(script)
    guest.console().boot(time.monotonic(), 5)


def test_autoboot_is_interrupted_once_and_before_its_line_ends(guest):
    keys = []

    def script(guest):
        guest.say(BAREBOX_START[: -len("m for menu or any to stop autoboot:    3")])
        keys.append(guest.key())
        guest.say("m for menu or any to stop autoboot:    3\r\n" + RISCV_PROMPT)

    guest.play(script)
    guest.console().boot(time.monotonic(), 5)
    assert keys == [b"\r"]


def test_second_banner_in_a_boot(guest):
    guest.say(BAREBOX_START + "\r\n" + BAREBOX_START)
    with pytest.raises(GuestError, match="resets in a loop"):
        guest.console().boot(time.monotonic(), 5)


def test_prompt_without_banner(guest):
    guest.say("\r\n" + RISCV_PROMPT)
    with pytest.raises(GuestError, match="without barebox's banner"):
        guest.console().boot(time.monotonic(), 5)


def test_status_and_lines(guest):
    guest.play(answering("one\r\n\r\nthree\r\n", status=127))
    result = guest.console().run("some command")
    assert (result.status, result.lines) == (127, ("one", "", "three"))


def test_output_without_a_line_end(guest):
    guest.play(answering("no newline"))
    assert guest.console().run("echo -n no newline").lines == ("no newline",)


def test_the_echo_of_the_command_is_no_answer(guest):
    """A command that prints what it was typed as does not end itself."""

    def script(guest):
        line = guest.line()
        guest.say(f"you typed {line}\r\n{marker(line)}5\r\n{RISCV_PROMPT}")

    guest.play(script)
    result = guest.console().run("history")
    assert result.status == 5
    assert result.lines[0].startswith("you typed history;echo ")


def test_messages_within_the_echo(guest):
    """The kernel log may stand in the middle of the line that is typed."""

    def script(guest):
        line = guest.line(echo=False)
        half = len(line) // 2
        guest.say(f"{line[:half]}eth0: link up\r\n{line[half:]}\r\noutput\r\n{marker(line)}0\r\n{RISCV_PROMPT}")

    guest.play(script)
    assert guest.console().run("long_command with words").lines == ("output",)


def test_messages_between_answer_and_prompt(guest):
    def script(guest):
        line = guest.line()
        guest.say(f"out\r\n{marker(line)}0\r\nusb: new device\r\n{RISCV_PROMPT}eth0: link up\r\n")
        answering("next\r\n")(guest)

    guest.play(script)
    console = guest.console()
    assert console.run("one").lines == ("out",)
    assert console.run("two").lines[-1] == "next"


def test_commands_of_a_thousand_characters(guest):
    guest.play(answering("ok\r\n"))
    assert guest.console().run("x" * 1000).lines == ("ok",)
    assert guest.heard[0].startswith("x" * 1000 + ";echo ")


def test_nothing_is_typed_for_a_command_that_is_too_long_or_broken(guest):
    for command in ("x" * 1100, "a\nb", "a\rb"):
        with pytest.raises(UsageError):
            guest.console().run(command)
    assert guest.heard == []


def test_refused_line(guest):
    def script(guest):
        guest.line()
        guest.say("syntax error\r\n" + RISCV_PROMPT)

    guest.play(script)
    with pytest.raises(ShellError, match="refused"):
        guest.console().run("a | b")


def test_open_quote_is_interrupted(guest):
    def script(guest):
        guest.line()
        guest.say("> ")
        assert guest.key() == b"\x03"
        guest.say("\r\n" + RISCV_PROMPT)
        answering("alive\r\n")(guest)

    guest.play(script)
    console = guest.console()
    with pytest.raises(ShellError, match="left open"):
        console.run('echo "a')
    assert console.run("echo alive").lines == ("alive",)


@pytest.mark.parametrize(
    "words",
    [
        "PANIC: unable to handle NULL pointer dereference",
        "Unhandled exception: 5",
        "!!!! X64 Exception Type - 0E(#PF - Page-Fault)  CPU Apic ID - 00000000 !!!!",
    ],
)
def test_panic_is_noticed_at_once(guest, words):
    def script(guest):
        guest.line()
        guest.say(words + "\r\nPC is at otter+0x4\r\n")

    guest.play(script)
    started = time.monotonic()
    with pytest.raises(GuestError, match="panicked") as caught:
        guest.console(silence=30).run("crash", 30)
    assert time.monotonic() - started < 5
    assert "PC is at otter" in str(caught.value)


def test_panic_is_told_whole(guest):
    def script(guest):
        guest.line()
        guest.say("PANIC: ")
        time.sleep(0.2)
        guest.say("unable to handle NULL pointer dereference\r\n")

    guest.play(script)
    with pytest.raises(GuestError, match="panicked: PANIC: unable to handle NULL pointer dereference\n"):
        guest.console(silence=30).run("crash", 30)


def test_reset_under_a_command(guest):
    def script(guest):
        guest.line()
        guest.say(BAREBOX_START)

    guest.play(script)
    with pytest.raises(GuestError, match="was reset while"):
        guest.console(was_reset=lambda: True).run("go 0")


def test_a_log_that_repeats_the_banner_is_no_reset(guest):
    guest.play(answering(BAREBOX_START.partition("\x1b[?25h")[0]))
    assert guest.console().run("dmesg").status == 0


def test_end_of_qemu(guest):
    def script(guest):
        guest.line()
        guest.end()

    guest.play(script)
    with pytest.raises(GuestError, match="QEMU ended"):
        guest.console(silence=30).run("true", 30)


def test_time_without_a_processor_does_not_count(guest, monkeypatch):
    """On a loaded host a guest is slow, and is no more dead for it; up to a limit."""
    monkeypatch.setattr(console, "UNWATCHED_SECONDS", 0.1)

    def late(guest):
        line = guest.line()
        time.sleep(0.8)
        guest.say(f"otter\r\n{marker(line)}0\r\n{RISCV_PROMPT}")

    guest.play(late)
    assert guest.console(silence=0.4, waited=time.monotonic).run("echo otter", 0.5).lines == ("otter",)
    with pytest.raises(GuestError, match="silence for 0.2 s"):
        guest.console(silence=0.2, waited=time.monotonic).run("true", 60)


def test_threads_that_wait_for_a_processor_are_found():
    two = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); os.fork()\nwhile True: pass"
    spinning = subprocess.Popen([sys.executable, "-c", two], start_new_session=True)
    deadline = time.monotonic() + 30
    try:
        while load.waited(spinning.pid) < 0.2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.killpg(spinning.pid, signal.SIGKILL)
        spinning.wait()
    assert load.waited(0) == 0.0


def test_silence_has_a_deadline_of_its_own(guest):
    started = time.monotonic()
    with pytest.raises(GuestError, match="silence for 0.3 s"):
        guest.console(silence=0.3).run("true", 60)
    assert time.monotonic() - started < 10


def test_talk_without_end_meets_the_deadline(guest):
    def script(guest):
        guest.line()
        for _ in range(100):
            guest.say("busy\r\n")
            time.sleep(0.02)

    guest.play(script)
    with pytest.raises(GuestError, match="did not come within 0.5 s"):
        guest.console().run("true", 0.5)


def test_ten_megabytes_without_a_newline(guest):
    def script(guest):
        guest.line()
        for _ in range(10_000):
            guest.say("x" * 1000)

    guest.play(script)
    with pytest.raises(GuestError, match="MiB of output"):
        guest.console().run("cat /dev/zero", 60)


def test_the_log_has_everything_as_it_came(guest):
    guest.play(answering("\x1b[31mred\x1b[0m\r\n"))
    assert guest.console().run("colours").lines == ("red",)
    assert "\x1b[31mred\x1b[0m" in guest.log.getvalue()


def test_bytes_that_are_no_text(guest):
    def script(guest):
        line = guest.line()
        os.write(guest._write, b"\xff\xfe\x00binary\r\n")
        guest.say(f"{marker(line)}0\r\n{RISCV_PROMPT}")

    guest.play(script)
    assert "binary" in guest.console().run("cat image").lines[0]


def test_noise_of_a_busy_host_is_no_output(guest):
    noise = "WARNING: poller: 'net' takes unexpectedly long: 24ms\r\n"
    guest.play(answering(f"{noise}on{noise}e\r\n{noise}two\r\n"))
    assert guest.console().run("echo").lines == ("one", "two")
    assert guest.log.getvalue().count("unexpectedly") == 3


def test_awaited_text(guest):
    guest.say("Booting\r\nhandover 12\r\nmore\r\n")
    assert guest.console().await_text(r"^handover \d+\r?\n", 5) == "Booting\r\nhandover 12\r\n"


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (f"Booting\r\nERROR: failed\r\n{RISCV_PROMPT}", "the prompt is back, and 'handover' was not printed"),
        ("PANIC: unable to handle\r\n", "the guest panicked"),
        ("Booting\r\n", "silence for 0.5 s while 'handover' was awaited"),
    ],
)
def test_awaited_text_that_does_not_come(guest, said, what):
    guest.say(said)
    with pytest.raises(GuestError, match=what):
        guest.console(silence=0.5).await_text("handover", 5)
