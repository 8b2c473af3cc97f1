# SPDX-License-Identifier: MIT
"""Evidence of a failure: what its folder has, and that nothing about it makes things worse or a green run slower."""

import json
import os
import re
import resource
import struct
import subprocess
import time
from pathlib import Path

import pytest

from oeqa.barebox import backtrace, changes, evidence
from oeqa.barebox.dialect import BAREBOX
from oeqa.barebox.firmware import Firmware
from oeqa.barebox.hazards.elf import PAGE, Elf
from oeqa.barebox.wire import Wire
from test_harness import Run, furnish

CASE = """
import os
from oeqa.barebox import case, images
from oeqa.barebox.errors import GuestError
from oeqa.barebox.variant import Drive, Variant

class GoodTest(case.BootloaderTestCase):
    def test_good(self):
        self.shell("true")

class WrongTest(case.BootloaderTestCase):
    variant = Variant(drives=(Drive("data", images.noise(1 << 16)),))

    def test_wrong(self):
        disk = self.board.files.disk(self.variant.drives[0])
        content = bytearray(disk.read_bytes())
        content[5000] ^= 1
        disk.write_bytes(content)
        self.assertEqual(self.answer("echo otter"), "beaver")

class LostTest(case.BootloaderTestCase):
    def test_panic(self):
        self.shell("panic")

    def test_die(self):
        self.shell("die")

    def test_expected(self):
        with self.assertRaises(GuestError):
            self.shell("die")

class ErrorTest(case.BootloaderTestCase):
    def test_error(self):
        self.shell("true")
        raise ValueError("odd")
"""


@pytest.fixture
def run(tmp_path):
    place = furnish(tmp_path / "p")
    (place / "layer/lib/oeqa/runtime/cases/mock_cases.py").write_text(CASE)
    return Run(place)


def folders(place):
    return {path.name: path for path in (place / "results").glob("evidence/*/*")}


def test_a_failed_case_leaves_all_that_is_known(run):
    status, out, _ = run(case="mock_cases.WrongTest")
    (folder,) = folders(run.place).values()
    assert status == 1
    assert f"evidence: {folder}" in out
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    assert "'otter' != 'beaver'" in texts["failure.txt"]
    assert re.search(r"\[ +\d+\.\d{4}\] > 'echo otter;", texts["transcript.txt"])
    assert re.search(r"\[ +\d+\.\d{4}\] < barebox 2026\.06\.1", texts["transcript.txt"])
    assert "-kernel" in texts["qemu-command.txt"]
    assert json.loads(texts["status.json"]) == {"status": "running"}
    assert "PC=0000000040000010" in texts["registers.txt"]
    assert texts["memory-map.txt"].startswith("mock: info mtree")
    assert texts["devices.txt"].startswith("mock: info qtree")
    assert {"dmesg.txt", "iomem.txt", "devinfo.txt", "backtrace.txt"} <= set(texts)
    assert "data.img: 1 ranges changed, 512 bytes of 65536" in texts["disks.txt"]
    assert "disk0.img: 0 ranges changed" in texts["disks.txt"]
    assert json.loads(texts["versions.json"])["QEMU_VERSION"] == "8.0.0"


def test_replay_runs_that_case_again_from_anywhere(run, tmp_path):
    run(case="mock_cases.WrongTest")
    (folder,) = folders(run.place).values()
    command = [folder / "replay", "--results", tmp_path / "again"]
    done = subprocess.run(command, cwd="/", env=run.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    (entry,) = json.loads((tmp_path / "again/testresults.json").read_text()).values()
    assert list(entry["result"]) == ["mock_cases.WrongTest.test_wrong"]
    (first,) = json.loads((run.place / "results/testresults.json").read_text()).values()
    assert entry["configuration"]["RANDOM_SEED"] == first["configuration"]["RANDOM_SEED"]


def test_an_error_of_the_case_itself_has_evidence(run):
    process = run.start(case="mock_cases.ErrorTest")
    out, _ = process.communicate(timeout=60)
    (folder,) = folders(run.place).values()
    assert (process.returncode, f"ValueError: odd\nevidence: {folder}" in out) == (1, True), out
    assert (folder / "registers.txt").exists()


def test_a_lost_guest_has_evidence_an_expected_loss_has_none(run):
    status, out, _ = run(case="mock_cases.LostTest")
    found = folders(run.place)
    names = ("die", "panic")
    assert (status, sorted(found)) == (1, [f"mock_cases.LostTest.test_{name}" for name in names]), out
    panic = found["mock_cases.LostTest.test_panic"]
    assert "PC is at otter+0x4" in (panic / "transcript.txt").read_text()
    assert (panic / "registers.txt").exists() and not (panic / "dmesg.txt").exists()
    assert not (found["mock_cases.LostTest.test_die"] / "registers.txt").exists()


def test_a_guest_that_does_not_come_up_has_evidence(run):
    status, out, _ = run(case="mock_cases.GoodTest", scenario="crash")
    (folder,) = folders(run.place).values()
    assert (status, f"evidence: {folder}" in out) == (1, True)
    assert "NULL pointer" in (folder / "transcript.txt").read_text()


def test_a_green_run_leaves_none(run):
    assert run(case="mock_cases.GoodTest")[0] == 0
    assert not (run.place / "results/evidence").exists()


def test_evidence_that_cannot_be_written_stays_a_failure(run):
    (run.place / "results").mkdir()
    (run.place / "results/evidence").write_text("in the way")
    status, out, _ = run(case="mock_cases.WrongTest")
    assert status == 1
    assert "evidence: " in out and "is incomplete: Not a directory" in out
    entry = json.loads((run.place / "results/testresults.json").read_text()).popitem()[1]
    assert entry["result"]["mock_cases.WrongTest.test_wrong"]["status"] == "FAILED"


def test_a_full_disk_leaves_what_fits(tmp_path, monkeypatch):
    def full(self, text, **_):
        if self.name == "registers.txt":
            raise OSError(28, "No space left on device")
        with self.open("w") as file:
            return file.write(text)

    monkeypatch.setattr(Path, "write_text", full)
    keeper = evidence.Evidence(tmp_path / "evidence", lambda case, seed: f"run {case} --seed {seed}")
    keeper.snapshot = evidence.Snapshot({"registers.txt": "x"})
    about = evidence.Facts({}, "aarch64", Firmware("barebox", Path("/x")), 1)
    line = keeper.write("m.C.t", "otter", about, [])
    assert line == f"evidence: {tmp_path}/evidence/m.C.t is incomplete: No space left on device"
    assert "otter" in (tmp_path / "evidence/m.C.t/failure.txt").read_text()


def test_a_case_that_fails_twice_has_two_folders(tmp_path):
    keeper = evidence.Evidence(tmp_path)
    about = evidence.Facts({}, "aarch64", Firmware("barebox", Path("/x")), 1)
    lines = [keeper.write("m.C.t", "", about, []) for _ in range(3)]
    assert lines == [f"evidence: {tmp_path}/m.C.t{x}" for x in ("", "~2", "~3")]


# Disks


def test_changed_ranges(tmp_path):
    disk = tmp_path / "d.img"
    disk.write_bytes(os.urandom(3 << 20))
    changes.keep(disk)
    assert changes.describe(disk).startswith("d.img: 0 ranges changed")
    content = bytearray(disk.read_bytes())
    for place in (0, 511, 512, (1 << 20) - 1, 1 << 20, (3 << 20) - 1):
        content[place] ^= 0xFF
    disk.write_bytes(content)
    before = tmp_path / f"d.img{changes.INITIAL}"
    assert changes.ranges(before, disk) == [(0, 1024), ((1 << 20) - 512, (1 << 20) + 512), ((3 << 20) - 512, 3 << 20)]
    assert content[:16].hex(" ") in changes.describe(disk)


def test_a_sparse_disk_costs_nothing_to_keep(tmp_path):
    disk = tmp_path / "d.img"
    with disk.open("wb") as stream:
        stream.truncate(1 << 40)
        stream.seek(1 << 33)
        stream.write(b"otter")
    changes.keep(disk)
    copy = tmp_path / f"d.img{changes.INITIAL}"
    assert copy.stat().st_size == 1 << 40
    assert copy.stat().st_blocks * 512 < 1 << 20
    with disk.open("r+b") as stream:
        stream.seek(1 << 39)
        stream.write(b"otter")
    assert changes.ranges(copy, disk) == [(1 << 39, (1 << 39) + 512)]


def test_a_disk_that_there_is_no_room_for_is_not_kept(tmp_path):
    disk = tmp_path / "d.img"
    disk.write_bytes(os.urandom(1 << 20))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        changes.keep(disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert changes.describe(disk) == ""
    assert list(tmp_path.iterdir()) == [disk]


# Addresses


def elf(folder, code):
    """An ELF file with code at 0x1000 and two functions in it."""
    names = b"\0first\0second\0"
    symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 2, 0, 1, 0x1000, 0x800)
    symbols += struct.pack("<IBBHQQ", 7, 2, 0, 1, 0x1800, len(code) - 0x800)
    parts, offset, headers = [], 64, [bytes(64)]
    for kind, flags, address, data, link in ((1, 4, 0x1000, code, 0), (2, 0, 0, symbols, 3), (3, 0, 0, names, 0)):
        headers.append(struct.pack("<IIQQQQIIQQ", 0, kind, flags, address, offset, len(data), link, 0, 1, 24))
        parts.append(data)
        offset += len(data)
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, 0, 0, offset, 0, 64, 0, 0, 64, 4, 0)
    path = folder / "bootloader"
    path.write_bytes(head + b"".join(parts) + b"".join(headers))
    return Elf(path)


LOADED = 0x5FA10000


@pytest.fixture
def guest(tmp_path):
    """An ELF file, and a memory in which its code lies somewhere else, with a stack behind it."""
    code = os.urandom(3 * PAGE)
    file = elf(tmp_path, code)
    memory = bytes(PAGE) + code + struct.pack("<4Q", 7, LOADED + 0x1804, 0xDEAD, LOADED + 0x1010) + bytes(4096)

    def read(address, length):
        if not LOADED <= address < LOADED + len(memory):
            raise ConnectionError
        return memory[address - LOADED : address - LOADED + length]

    return file, read


def registers(pc, stack=LOADED + 4 * PAGE):
    return f" PC={pc:016x} X00=0000000000000000\nX30={LOADED + 0x2004:016x}  SP={stack:016x}\n"


def test_addresses_get_names_wherever_the_code_was_moved(guest):
    file, read = guest
    traces = backtrace.collect(registers(LOADED + 0x1008), f"PANIC: [<{LOADED + 0x1900:08x}>] (x) and 12345678", read)
    assert backtrace.placed(traces, [file]) == [backtrace.Placed(file, LOADED)]
    lines = backtrace.describe("aarch64", traces, [file]).splitlines()
    assert lines[0] == f"{file.path}: loaded +0x5fa10000 from its own addresses"
    assert [line.split()[0::2] for line in lines[1:]] == [
        ["pc", "first+0x8"],
        ["link", "second+0x804"],
        ["console", "second+0x100"],
        ["stack", "second+0x4"],
        ["stack", "first+0x10"],
    ]


@pytest.mark.parametrize("pc", [0, 0x10, LOADED - 4])
def test_a_lost_program_counter_leaves_the_others(guest, pc):
    file, read = guest
    traces = backtrace.collect(registers(pc), "", read)
    assert "link" in backtrace.describe("aarch64", traces, [file])


def test_another_builds_file_gives_no_names(guest, tmp_path):
    (tmp_path / "other").mkdir()
    other = elf(tmp_path / "other", os.urandom(3 * PAGE))
    traces = backtrace.collect(registers(LOADED + 0x1008), "", guest[1])
    assert "none of the addresses" in backtrace.describe("aarch64", traces, [other])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            " PC=000000005fa54640 X00=0000000000000000\nX30=000000005fa1a540  SP=000000005fff7a80\n",
            (0x5FA54640, 0x5FA1A540),
        ),
        (
            " pc       000000009fb16ea0\r\n x1/ra    000000009fb16ea4 x2/sp    000000009fdffa20\n",
            (0x9FB16EA0, 0x9FB16EA4),
        ),
        ("RAX=0000000000000000 RSP=000000001feea4a0\nRIP=000000001e660f85 RFL=00000202\n", (0x1E660F85,)),
        ("nothing", ()),
    ],
)
def test_registers_of_each_architecture(text, found):
    asked = []

    def read(address, length):
        asked.append(address)
        return bytes(length)

    traces = backtrace.collect(text, "", read)
    assert tuple(address for where, address in traces.found if where != "stack") == found
    assert bool([x for where, x in traces.found if where == "stack"]) == bool(found)


# Transcripts


def test_a_transcript_tells_lines_and_what_was_typed(tmp_path):
    (ours, guest), (keyboard, typed) = os.pipe(), os.pipe()
    with (tmp_path / "log").open("w") as log:
        wire = Wire(ours, typed, log)
        os.write(guest, b"\x1b[1mone\x1b[0m\r\ntw")
        wire.find([re.compile("tw")], 1)
        time.sleep(0.02)
        os.write(guest, b"o\r\n=> ")
        wire.find([re.compile("=> ")], 1)
        wire.send("help\r")
        os.write(guest, b"help\r\nthe end")
        wire.find([re.compile("end")], 1)
    lines = [re.sub(r"^\[ *\d+\.\d{4}\] ", "", line) for line in wire.transcript().splitlines()]
    assert lines == ["< one", "< two", "< => ", "> 'help'", "< help", "< the end"]
    assert BAREBOX.prompt  # the wire knows of no dialect
    for end in (ours, guest, keyboard, typed):
        os.close(end)
