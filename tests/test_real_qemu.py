# SPDX-License-Identifier: MIT
"""The library, the cases and the command line on a real QEMU with the distribution's U-Boot; and that each case of
U-Boot's set goes red when its device, its QEMU or its expectation is broken."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oeqa.barebox import firmware, machine, qemu, results
from oeqa.barebox.errors import BareboxError, GuestError
from oeqa.barebox.target import Target

LAYER = Path(__file__).resolve().parent.parent
CASES = LAYER / "lib/oeqa/runtime/cases"
NAMES = ["qemuarm64-barebox", "qemuriscv64-barebox", "qemux86-64-barebox"]


def parts(name):
    """Machine, firmware and QEMU; skips by name what is not installed."""
    m = machine.load(LAYER / f"conf/machines/{name}.json")
    try:
        return m, firmware.find(m, "u-boot", firmware.installed(m, "u-boot")), qemu.find(m)
    except BareboxError as error:
        pytest.skip(str(error))


def make(name, logs, launch=None):
    m, loaded, program = parts(name)
    return Target(m, loaded, program, logs, "tcg", launch=launch, silence_seconds=10)


def run_cases(target, wanted=()):
    verdicts = results.run(results.load([CASES], "u-boot", wanted), target, lambda _: None)
    return {v.case.rpartition(".")[2]: v for v in verdicts}


def read_until(process, wanted):
    """Read what a program prints until ``wanted`` is there; its end before that is a failure."""
    text = b""
    while wanted not in text:
        read = os.read(process.stdout.fileno(), 4096)
        assert read, text
        text += read


@pytest.mark.parametrize("name", NAMES)
def test_every_case_passes(name, cli, tmp_path):
    parts(name)
    done = cli("test", name, "--bootloader", "u-boot", "--results", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "u-boot 20" in done.stdout
    (entry,) = json.loads((tmp_path / "testresults.json").read_text()).values()
    verdicts = {v["status"] for v in entry["result"].values()}
    assert verdicts <= {"PASSED", "SKIPPED"}
    assert sum(v["status"] == "PASSED" for v in entry["result"].values()) >= 5
    assert entry["configuration"]["ACCELERATOR"] in ("tcg", "kvm")


@pytest.mark.parametrize("name", NAMES)
def test_dry_run_is_runnable_as_printed(name, cli, tmp_path):
    parts(name)
    where = ["--files", tmp_path / "a folder"]
    done = cli("run", name, "--bootloader", "u-boot", "--accel", "tcg", "--dry-run", *where)
    assert done.returncode == 0, done.stderr
    script = ["sh", "-ec", done.stdout]
    guest = subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        read_until(guest, b"autoboot")
    finally:
        os.killpg(guest.pid, signal.SIGKILL)
        guest.wait()


def test_run_becomes_qemu_and_leaves_nothing(tmp_path):
    parts(NAMES[1])
    command = [sys.executable, str(LAYER / "scripts/barebox-virt"), "run", NAMES[1], "--bootloader", "u-boot"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    guest = subprocess.Popen([*command, "--accel", "tcg"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    read_until(guest, b"autoboot")
    guest.send_signal(signal.SIGKILL)
    guest.wait()
    wait_until(lambda: not list(tmp_path.iterdir()))


def gone(pid):
    """Whether a process ended; nobody may have buried it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class TestRed:
    """Each case fails when what it is about is broken."""

    def broken(self, tmp_path, edit, case, name="qemuriscv64-barebox"):
        """The verdict of a case where ``edit`` changes QEMU's command."""
        m, loaded, program = parts(name)

        def launch(accelerator, extra):
            return edit(qemu.command(m, program, accelerator, list(extra)))

        with make(name, tmp_path, launch) as target:
            return run_cases(target, [f"uboot_virt.UBootTest.{case}"])[case]

    def test_block_on_another_disk(self, tmp_path):
        other = tmp_path / "other.img"
        other.write_bytes(bytes(16 << 20))

        def edit(command):
            return [f"if=none,id=disk0,format=raw,file={other}" if "id=disk0,format" in x else x for x in command]

        verdict = self.broken(tmp_path, edit, "test_block")
        assert verdict.status == "FAILED"
        assert "disk0 (virtio-blk-device)" in verdict.log

    def test_net_with_another_address(self, tmp_path):
        def edit(command):
            return [x.replace("restrict=on", "restrict=on,dhcpstart=10.0.2.77") for x in command]

        verdict = self.broken(tmp_path, edit, "test_net")
        assert verdict.status == "FAILED"
        assert "10.0.2.77" in verdict.log

    def test_tftp_of_another_file(self, tmp_path):
        (tmp_path / "t").mkdir()
        (tmp_path / "t/download.bin").write_bytes(b"other" * 1000)

        def edit(command):
            return [f"{x.partition(',tftp=')[0]},tftp={tmp_path}/t" if "tftp=" in x else x for x in command]

        assert self.broken(tmp_path, edit, "test_net").status == "FAILED"

    def test_reset_that_ends_qemu(self, tmp_path):
        verdict = self.broken(tmp_path, lambda command: [*command, "-no-reboot"], "test_reset")
        assert verdict.status == "FAILED"
        assert "QEMU ended" in verdict.log

    def test_poweroff_that_pauses(self, tmp_path, monkeypatch):
        monkeypatch.setattr("oeqa.barebox.states.END_SECONDS", 2)
        verdict = self.broken(tmp_path, lambda command: [*command, "-no-shutdown"], "test_poweroff", NAMES[0])
        assert verdict.status == "FAILED"
        assert "QEMU still runs" in verdict.log

    def test_guest_without_ram_to_start_in(self, tmp_path):
        def edit(command):
            return ["1" if before == "-m" else x for before, x in zip(["", *command], command)]

        with pytest.raises((BareboxError, GuestError)):
            m, loaded, program = parts("qemuriscv64-barebox")
            launch = lambda a, extra: edit(qemu.command(m, program, a, list(extra)))  # noqa: E731
            with Target(m, loaded, program, tmp_path, "tcg", launch=launch, silence_seconds=2) as target:
                target.start()

    def test_damaged_firmware(self, tmp_path, cli):
        m, loaded, _ = parts("qemuriscv64-barebox")
        damaged = bytearray(loaded.image.read_bytes())
        damaged[0x1000:0x9000] = bytes(0x8000)
        (tmp_path / "uboot.elf").write_bytes(damaged)
        done = cli(
            *("test", m.name, "--bootloader", "u-boot", "--firmware", tmp_path / "uboot.elf"),
            *("--results", tmp_path / "r", "--silence-seconds", "2"),
        )
        assert done.returncode == 1
        assert "silence for 2 s" in done.stdout
        assert "Boot HART" in done.stdout, "the last lines of the console are part of the evidence"


def test_commands_of_the_longest_length(tmp_path):
    with make("qemuarm64-barebox", tmp_path) as target:
        text = "x" * 200
        assert target.run(f"echo {text}").lines == (text,)


def test_many_commands_in_a_row(tmp_path):
    with make("qemuriscv64-barebox", tmp_path) as target:
        for number in range(300):
            assert target.run(f"echo {number}; test {number} -lt 150").status == int(number >= 150)


def test_a_lost_machine_comes_back(tmp_path):
    with make("qemuarm64-barebox", tmp_path) as target:
        target.start()
        with pytest.raises(GuestError, match="QEMU ended"):
            target.run("poweroff")
        assert target.run("echo back").lines == ("back",)
        assert len(target.boots) == 2


def test_sigkill_of_the_harness_takes_qemu_along(tmp_path):
    parts(NAMES[0])
    script = tmp_path / "hang.py"
    script.write_text(
        f"import sys, time\nsys.path[:0] = [{str(LAYER / 'lib')!r}, {str(LAYER / 'tests')!r}]\n"
        f"from pathlib import Path\nimport test_real_qemu as t\n"
        f"target = t.make({NAMES[0]!r}, Path({str(tmp_path)!r}))\ntarget.start()\n"
        "print(target._process._process.pid, target.files.folder, flush=True)\ntime.sleep(60)\n"
    )
    harness = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    pid, folder = harness.stdout.readline().split(maxsplit=1)
    folder = Path(folder.strip())
    assert folder.is_dir()
    harness.kill()
    harness.wait()
    wait_until(lambda: gone(pid))
    wait_until(lambda: not folder.exists())


def test_kvm_that_is_useless_is_told(tmp_path):
    """Where /dev/kvm opens, auto either runs a guest with it or says in the results why not."""
    m, loaded, program = parts("qemux86-64-barebox")
    with Target(m, loaded, program, tmp_path) as target:
        target.start()
        used = target.accelerator
    assert used.name == "kvm" or used.reason.startswith("no kvm: ")


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="qemu-system-x86_64 is not installed")
def test_versions_and_models_are_found():
    program = qemu.find(machine.load(LAYER / "conf/machines/qemux86-64-barebox.json"))
    assert "virtio-blk-pci" in program.models
    assert program.version[0].isdigit()
