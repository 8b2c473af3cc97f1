# SPDX-License-Identifier: MIT
"""Hazards, from the plugin to the report: payloads whose every access is known, the distribution's U-Boot, and what can
go wrong with plugin, QEMU and ELF files."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import assembler
from oeqa.barebox import firmware, machine, qemu
from oeqa.barebox.accelerator import Choice
from oeqa.barebox.errors import BareboxError, SetupError, Unavailable, UsageError
from oeqa.barebox.firmware import Firmware
from oeqa.barebox.hazards import elf, memory, plugin, report, trace
from oeqa.barebox.target import Target

LAYER = Path(__file__).resolve().parent.parent
PAYLOADS = LAYER / "tests/payloads"
MACHINES = {"aarch64": "qemuarm64-barebox", "riscv64": "qemuriscv64-barebox", "x86_64": "qemux86-64-barebox"}
ARCHITECTURES = list(MACHINES)
START = {
    "aarch64": ["-M", "virt", "-cpu", "max"],
    "riscv64": ["-M", "virt", "-cpu", "rv64,v=true", "-bios", "none"],
    "x86_64": ["-M", "q35,hpet=on", "-cpu", "max", "-device", "isa-debug-exit,iobase=0xf4"],
}
LINK = {"aarch64": ["-Ttext=0x40100000"], "riscv64": ["-Ttext=0x80000000"], "x86_64": ["-Ttext=0x100000"]}
RTC = memory.MemoryMap([memory.Region(0x9010000, 0x9010FFF, "i/o", "pl031", device="pl031")])


def description(arch):
    return machine.load(LAYER / f"conf/machines/{MACHINES[arch]}.json")


def loaded(arch):
    """The architecture's QEMU and the plugin for it; skipped by name where one is missing."""
    try:
        program = qemu.find(description(arch))
        return program.path, plugin.get(program.path)
    except (Unavailable, SetupError) as error:
        pytest.skip(str(error))


def link(arch, folder):
    """The architecture's payload as ELF."""
    done = folder / f"{arch}.elf"
    assembler.run(assembler.tool(arch, "as"), "-o", folder / "payload.o", PAYLOADS / f"{arch}.S")
    assembler.run(assembler.tool(arch, "ld"), *LINK[arch], "-o", done, folder / "payload.o")
    return done


def watch(arch, payload, folder):
    """What the plugin saw of a payload."""
    program, found = loaded(arch)
    out = folder / "a, trace.jsonl"
    start = [program, *START[arch], "-m", "64", "-nodefaults", "-nographic", "-accel", "tcg", "-kernel", payload]
    command = [*start, *found.arguments(description(arch), out)]
    subprocess.run(command, timeout=30, env={**os.environ, **found.environment}, stdin=subprocess.DEVNULL)
    return trace.read(out)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_payload_is_reported_exactly(arch, tmp_path):
    """Each labelled instruction is reported as what its label says, once, and nothing else is."""
    payload = link(arch, tmp_path)
    seen = watch(arch, payload, tmp_path)
    made = report.make(arch, [seen], RTC, [elf.Elf(payload)])
    labels = {s.name for s in elf.Elf(payload).symbols if "_" in s.name and not s.name.startswith(("none_", "_"))}
    if not seen.registers:
        labels = {name for name in labels if not name.startswith("cache")}
    assert sorted(h.symbol for h in made.hazards) == sorted(f"{name}+0x0" for name in labels)
    for hazard in made.hazards:
        assert hazard.kind.startswith(hazard.symbol.partition("_")[0]), hazard
    assert made.code == (report.Code(str(payload), 0),)
    assert (arch == "aarch64" and not seen.registers) == bool(made.skipped)


def test_words_of_a_hazard(tmp_path):
    """A hazard has its instruction in the assembler's words, its device and its addresses."""
    payload = link("aarch64", tmp_path)
    made = report.make("aarch64", [watch("aarch64", payload, tmp_path)], RTC, [elf.Elf(payload)])
    (pair,) = [h for h in made.hazards if h.symbol.startswith("pair_load")]
    assert pair.words == "ldp w5, w6, [x1]"
    assert (pair.access, pair.address, pair.region, pair.device) == ("load", 0x9010000, "pl031", "pl031")
    (stack,) = [h for h in made.hazards if h.kind == "stack"]
    assert stack.more == 1
    assert "pair: ldp w5, w6, [x1]\n  in pair_load+0x0" in str(made)
    assert json.loads(json.dumps(made.data()))["hazards"][0]["kind"]


def test_stripped_elf(tmp_path):
    payload = link("aarch64", tmp_path)
    seen = watch("aarch64", payload, tmp_path)
    stripped = tmp_path / "stripped.elf"
    assembler.run(assembler.tool("aarch64", "strip"), "-o", stripped, payload)
    made = report.make("aarch64", [seen], RTC, [elf.Elf(stripped)])
    assert "stripped" in made.code[0].problem
    assert made.hazards
    assert all(h.symbol == "" and h.where() == f"{h.pc:#x}" for h in made.hazards)


def test_elf_of_another_build(tmp_path):
    payload = link("aarch64", tmp_path)
    seen = watch("aarch64", payload, tmp_path)
    other = tmp_path / "other.elf"
    changed = bytearray(payload.read_bytes())
    start = changed.index(bytes.fromhex("200040b9"))  # ldr w0, [x1]
    for position in range(start, start + 80, 4):
        changed[position : position + 4] = bytes.fromhex("1f2003d5")
    other.write_bytes(changed)
    made = report.make("aarch64", [seen], RTC, [elf.Elf(other)])
    assert made.code[0].loaded_at is None
    assert "of another build" in made.code[0].problem
    assert all(h.symbol == "" for h in made.hazards)


def test_file_that_is_no_elf(tmp_path):
    (tmp_path / "text").write_text("otter")
    with pytest.raises(UsageError, match="the bootloader's ELF file is expected"):
        elf.Elf(tmp_path / "text")


def test_code_that_moved_itself(tmp_path):
    """Where an ELF file's code went is found from what was executed, among instructions of somebody else's."""
    payload = elf.Elf(link("aarch64", tmp_path))
    (start, code), *_ = payload.code
    moved = [(start + 0x1F5F3000 + n, code[n : n + 4]) for n in range(0, 120, 4)]
    others = [(0x40000000 + n, code[n : n + 4]) for n in range(0, 28, 4)]
    assert elf.place(payload, [*others, *moved]) == 0x1F5F3000
    changed = [(pc, b"\0\0\0\0" if n % 4 == 0 else code) for n, (pc, code) in enumerate(moved)]
    assert elf.place(payload, changed) is None


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_u_boot(arch, cli, tmp_path):
    """The distribution's U-Boot, loaded with work: what it does to devices is seen, and told if it is a hazard."""
    loaded(arch)
    name = MACHINES[arch]
    try:
        firmware.installed(description(arch), "u-boot")
    except BareboxError as error:
        pytest.skip(str(error))
    work = ["--case", "uboot_virt.UBootTest.test_block", "--case", "uboot_virt.UBootTest.test_net"]
    done = cli("hazards", name, "--bootloader", "u-boot", "--json", *work, "--results", tmp_path)
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(done.stdout)
    assert done.returncode == bool(told["hazards"])
    assert told["arch"] == arch
    assert told["accesses"] >= 10
    assert told["regions"]


class TestRed:
    """The plugin's user notices when something is wrong."""

    def test_trace_without_an_end(self, tmp_path):
        path = tmp_path / "trace"
        for text in (None, "", '{"api": 1, "target": "aarch64", "registers": false}\n', '{"end": true'):
            if text is not None:
                path.write_text(text)
            with pytest.raises(SetupError, match="not written whole"):
                trace.read(path)

    def test_qemu_that_is_killed(self, tmp_path):
        """A QEMU that could not write what it saw makes the watch fail instead of finding nothing."""
        arch = "riscv64"
        loaded(arch)
        m = description(arch)
        image = firmware.find(m, "u-boot", firmware.installed(m, "u-boot"))
        with Target(m, image, qemu.find(m), tmp_path, "tcg") as target:
            with pytest.raises(SetupError, match="not written whole"), target.watched():
                target.shell()
                os.kill(target._process._process.pid, 9)
                target._process.wait(10)
            with target.watched() as watched:
                target.shell()
                target.cut()
                target.shell()
            assert watched.report.accesses
            assert watched.report.skipped == ("1 starts of 2, whose power was cut",)

    def test_elf_that_is_none(self, cli, tmp_path):
        """The named ELF file is looked at before anything is watched."""
        loaded("riscv64")
        (tmp_path / "text").write_text("otter")
        work = ["--case", "uboot_virt.UBootTest.test_shell", "--elf", tmp_path / "text", "--results", tmp_path / "r"]
        done = cli("hazards", MACHINES["riscv64"], "--bootloader", "u-boot", *work)
        assert done.returncode == 2
        assert "text: no 64-bit little-endian ELF; the bootloader's ELF file is expected" in done.stderr

    def test_other_accelerators_are_not_watched(self, tmp_path):
        """Plugins are TCG's; under KVM the guest itself is the proof."""
        m = description("riscv64")
        image = Firmware("u-boot", tmp_path / "image")
        with Target(m, image, qemu.Program(tmp_path, "8.0.0", frozenset()), tmp_path, "tcg") as target:
            target.accelerator = Choice("kvm")
            with pytest.raises(Unavailable, match="watched under TCG; this run's accelerator is kvm"), target.watched():
                pass

    def test_folder_that_cannot_be_written(self, tmp_path):
        program, found = loaded("aarch64")
        options = found.arguments(description("aarch64"), tmp_path / "missing/trace")
        done = subprocess.run([program, "-M", "none", *options], capture_output=True, text=True, timeout=30)
        assert done.returncode != 0
        assert f"{tmp_path}/missing/trace: No such file" in done.stderr


class TestPlugin:
    """Building and loading it."""

    def compiler(self, monkeypatch, folder, script):
        path = folder / "cc"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("HOSTCC", str(path))

    def test_no_compiler(self, monkeypatch):
        monkeypatch.setenv("HOSTCC", "no-such-compiler --fast")
        with pytest.raises(Unavailable, match=r"no C compiler \(no-such-compiler\).*install gcc, or set HOSTCC"):
            plugin.build()

    def test_cross_compiler_is_not_taken(self, monkeypatch, tmp_path):
        """What BitBake exports as CC compiles for the machine."""
        monkeypatch.setenv("CC", "false")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        program, _ = loaded("riscv64")
        assert plugin.get(program).path.parent == tmp_path / "barebox-virt"

    def test_compiler_that_fails(self, monkeypatch, tmp_path):
        self.compiler(monkeypatch, tmp_path, "echo 'hazards.c:1: error: otters' >&2; exit 1")
        with pytest.raises(SetupError, match="cannot be compiled:\nhazards.c:1: error: otters\ncommand: .*/cc"):
            plugin.build(tmp_path / "cache")
        assert list((tmp_path / "cache").iterdir()) == [], "a failed build leaves nothing"

    def test_cache_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(SetupError, match="XDG_CACHE_HOME puts it elsewhere"):
            plugin.build(tmp_path / "file")

    def test_built_once_for_a_content(self, monkeypatch, tmp_path):
        log = tmp_path / "log"
        self.compiler(monkeypatch, tmp_path, f'echo >>{log}; while [ "$1" != -o ]; do shift; done; echo >"$2"')
        first = plugin.build(tmp_path / "cache")
        assert plugin.build(tmp_path / "cache") == first
        assert log.read_text() == "\n"
        source = tmp_path / "hazards.c"
        source.write_text(plugin.SOURCE.read_text() + "/* changed */\n")
        monkeypatch.setattr(plugin, "SOURCE", source)
        assert plugin.build(tmp_path / "cache") != first
        assert log.read_text() == "\n\n"

    def test_no_warnings(self, tmp_path):
        if not shutil.which("cc"):
            pytest.skip("cc is not installed")
        flags = ["-Wall", "-Wextra", "-Werror"]
        assembler.run("cc", *plugin.FLAGS, *flags, "-o", tmp_path / "hazards.so", plugin.SOURCE)

    def test_named_file_is_missing(self, cli, tmp_path):
        done = cli(
            "hazards", MACHINES["riscv64"], "--bootloader", "u-boot", "--plugin", tmp_path / "x.so", cwd=tmp_path
        )
        assert done.returncode == 2
        assert "x.so: no such file; a plugin that was built from hazards.c is expected" in done.stderr

    def qemu(self, folder, script):
        path = folder / "qemu"
        path.write_text(f"#!/bin/sh\n[ $1 = -help ] && echo '-plugin [file=]<file>' && exit\n{script}\n")
        path.chmod(0o755)
        return path

    REFUSAL = "Could not load plugin: plugin requires API version 7, but this QEMU supports only"

    def test_qemu_that_wants_another_version(self, tmp_path):
        """QEMU 11.0 looks like a newer one; it is loaded when it was told its version."""
        script = f'[ "$BAREBOX_HAZARDS_API" = 6 ] && exit\necho "{self.REFUSAL} up to version 6" >&2; exit 1'
        found = plugin.get(self.qemu(tmp_path, script), plugin.SOURCE)
        assert found.environment == {"BAREBOX_HAZARDS_API": "6"}

    def test_qemu_that_is_too_new(self, tmp_path):
        script = f'echo "{self.REFUSAL} a minimum version of 8" >&2; exit 1'
        with pytest.raises(Unavailable, match="knows the interfaces 1 to 7: .*minimum version of 8"):
            plugin.get(self.qemu(tmp_path, script), plugin.SOURCE)

    def test_file_that_is_no_plugin(self):
        program, _ = loaded("aarch64")
        with pytest.raises(Unavailable, match="does not load the plugin"):
            plugin.get(program, plugin.SOURCE)

    def test_qemu_without_plugins(self, cli, tmp_path):
        """Such a QEMU is refused by name."""
        m = description("riscv64")
        program = qemu.find(m).path
        wrapper = tmp_path / m.qemu.binary
        wrapper.write_text(f'#!/bin/sh\n[ "$1" = -help ] && exit\nexec {program} "$@"\n')
        wrapper.chmod(0o755)
        env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = cli("hazards", m.name, "--bootloader", "u-boot", "--results", tmp_path / "r", env=env)
        assert done.returncode == 2
        assert "was built without plugins (its configure wants --enable-plugins)" in done.stderr


def test_other_accelerator_is_refused(cli, tmp_path):
    done = cli("hazards", MACHINES["riscv64"], "--bootloader", "u-boot", "--accel", "kvm", cwd=tmp_path)
    assert done.returncode == 2
    assert "--accel kvm: hazards are watched under TCG; allowed: auto, tcg" in done.stderr


MTREE = """\
FlatView #0
 AS "I/O", root: io
 Root memory region: io
  0000000000000000-000000000000ffff (prio 0, i/o): io parent:{obj path=/machine/unattached}

FlatView #1
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-0000000003ffffff (prio 0, romd): virt.flash0 owner:{dev path=/machine/virt.flash0}
  0000000009000000-0000000009000fff (prio 0, i/o): pl011 owner:{dev path=/machine/unattached/device[4]}
  000000000a000000-000000000a0001ff (prio 0, i/o): virtio-mmio owner:{dev path=/machine/unattached/device[9]}
  0000000010000000-000000003efeffff (prio 0, i/o): gpex_mmio_window @0000000010000000 owner:{dev path=/m/d}
  0000000040000000-000000005fffffff (prio 0, ram): mach-virt.ram owner:{obj path=/objects/mach-virt.ram}
  0000008000014000-0000008000014fff (prio 0, i/o): virtio-pci-common-virtio-serial owner:{dev id=console0}

"""


def answer(name, **arguments):
    """A QEMU's answers to what a memory map is made of."""
    if name == "human-monitor-command":
        return MTREE
    if name == "x-query-virtio":
        return [{"name": "virtio-blk", "path": "/machine/peripheral-anon/device[0]/virtio-backend"}]
    return {
        ("/machine/virt.flash0", "type"): "cfi.pflash01",
        ("/machine/unattached/device[9]", "type"): "virtio-mmio",
        ("/machine/peripheral-anon/device[0]", "parent_bus"): "/machine/unattached/device[9]/virtio-mmio-bus.3",
    }.get((arguments["path"], arguments["property"]), "some-type")


def test_memory_map():
    found = memory.ask(answer)
    assert [r.name for r in found.regions[-2:]] == ["mach-virt.ram", "virtio-pci-common-virtio-serial"]
    assert found.find(0x9000010).name == "pl011"
    assert found.find(0xA000010).device == "virtio-blk (virtio-mmio)"
    assert found.find(0x12345678).name == "gpex_mmio_window"
    assert found.find(0x8000014000).owner == "/machine/peripheral/console0"
    assert found.find(0x7000000) is None
    assert [r.name for r in found.outside_ram(0x3FFFFFF, 0x9000001)] == ["virt.flash0", "pl011"]
    assert found.outside_ram(0x40000000, 0x40001000) == []


def test_same_instruction_before_and_after_relocation(tmp_path):
    """What ran at two addresses, and in two runs, is one hazard."""
    payload = link("aarch64", tmp_path)
    seen = watch("aarch64", payload, tmp_path)
    made = report.make("aarch64", [seen, seen], RTC, [elf.Elf(payload)])
    once = report.make("aarch64", [seen], RTC, [elf.Elf(payload)])
    assert [(h.symbol, h.kind, h.count) for h in made.hazards] == [
        (h.symbol, h.kind, 2 * h.count) for h in once.hazards
    ]


def test_every_decoder_has_a_payload():
    assert {p.stem for p in PAYLOADS.glob("*.S")} == set(report.DECODERS)
    for arch, decoder in report.DECODERS.items():
        kinds = {v.name for v in vars(decoder).values() if type(v).__name__ == "Kind"}
        labels = set(re.findall(r"(?m)^ +at (\w+?)_", (PAYLOADS / f"{arch}.S").read_text())) - {"none"}
        assert all(any(kind.startswith(label) for kind in kinds) for label in labels)
