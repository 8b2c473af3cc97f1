# SPDX-License-Identifier: MIT
"""KVM hosts without one: descriptions, images, and every way in which a host can go wrong, played by a mock."""

import dataclasses
import io
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from barebox_virt import LAYER, describe
from oeqa.barebox import machine, qemu
from oeqa.barebox.errors import SetupError, UsageError
from oeqa.barebox.nested import apt, description, elf, guest, image, pack
from oeqa.barebox.nested import host as hosts
from oeqa.barebox.nested.mirror import Mirror
from oeqa.barebox.nested.relay import HOST_ENDED, Relay
from oeqa.barebox.process import RunFolder
from test_machines import _levels
from test_real_qemu import wait_until

ARM64 = description.find("aarch64", [LAYER])


def quiet(_what, _percent):
    pass


# Descriptions


def test_schema_and_dataclasses_are_in_step():
    import json

    schema = json.loads(describe.HOST_SCHEMA.read_text(encoding="utf-8"))
    schema["properties"]["name"] = {}
    schema["required"].append("name")
    _levels(description.Description, schema)
    for key, cls in (("qemu", description.Qemu), ("debian", description.Debian), ("content", description.Content)):
        _levels(cls, schema["properties"][key])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  smp: 2", "  spm: 2", "qemu.spm: unknown key; allowed: accel, binary"),
        ("  accel: tcg", "  accel: kvm", "qemu.accel: 'kvm' breaks the rule pattern"),
        ("patience: 5", "patience: 0", "patience: 0 breaks the rule minimum 1"),
        ("no valid syndrome info", "no valid (syndrome", "is no regular expression"),
    ],
)
def test_fault_in_a_description(layer, cli, old, new, words):
    path = layer / "conf/kvm-hosts/aarch64.yaml"
    path.parent.mkdir()
    text = (LAYER / "conf/kvm-hosts/aarch64.yaml").read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    done = cli("machines", "--layer", layer)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_every_machine_with_kvm_has_a_host():
    for path in describe.sources(LAYER):
        m = machine.load(path.with_suffix(".json"))
        host = description.find(m.arch, [LAYER])
        assert host.qemu.binary == m.qemu.binary
        assert host.debian.suites


def test_architecture_without_a_host():
    with pytest.raises(UsageError, match="described: aarch64, riscv64, x86_64"):
        description.find("mips", [LAYER])


# Images


def program(arch):
    """An ELF header that is all there is of a program."""
    head = bytearray(64)
    head[:6] = b"\x7fELF\2\1"
    head[18:20] = next(k for k, v in {0xB7: "aarch64", 0x3E: "x86_64"}.items() if v == arch).to_bytes(2, "little")
    return bytes(head)


@pytest.fixture
def root(tmp_path):
    """A root file system as little as one can be, without a merged /usr."""
    top = tmp_path / "root"
    files = {
        "boot/vmlinuz-6.1-mock": b"kernel",
        "usr/bin/qemu-system-aarch64": program("aarch64"),
        "bin/busybox": program("aarch64"),
        "usr/lib/ipxe/qemu/efi-virtio.rom": b"rom",
        "lib/modules/6.1-mock/kernel/virtio_blk.ko": b"\0depends=virtio-ring\0name=virtio_blk\0",
        "lib/modules/6.1-mock/kernel/virtio-ring.ko": b"\0depends=\0name=virtio_ring\0",
    }
    for name, data in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    return top


@pytest.fixture
def made(root, tmp_path):
    """A cache with an image made of ``root``."""
    cache = image.Cache(tmp_path / "cache", quiet)
    return cache, cache.build(ARM64, root)


def cpio(data):
    """Names and contents of a cpio archive of the format newc."""
    found, position = {}, 0
    while True:
        fields = [int(data[position + 6 + 8 * i : position + 14 + 8 * i], 16) for i in range(13)]
        start = position + 110
        name = data[start : start + fields[11] - 1].decode()
        if name == "TRAILER!!!":
            return found
        content = -(-(start + fields[11]) // 4) * 4
        found[name] = (fields[1], data[content : content + fields[6]])
        position = -(-(content + fields[6]) // 4) * 4


def test_image_holds_what_the_host_needs(made):
    _, built = made
    files = cpio(built.initrd.read_bytes())
    assert built.kernel.read_bytes() == b"kernel"
    assert built.kernel_release == "6.1-mock"
    assert files["modules/order"][1].split() == [b"virtio_ring.ko", b"virtio_blk.ko"], "a module before what it needs"
    assert files["usr/bin/qemu-system-aarch64"] == (0o100755, program("aarch64"))
    assert files["lib"] == (0o120777, b"usr/lib")
    assert files["init"][1] == pack.INIT.read_bytes()
    assert "usr/lib/ipxe/qemu/efi-virtio.rom" in files


@pytest.mark.parametrize("path", [sys.executable, "/bin/ls", "/bin/sh"])
def test_needed_libraries_are_those_of_the_loader(path):
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    direct = {Path(name).name for name in elf.needed(Path(path).resolve())}
    assert "libc.so.6" in direct
    assert all(name in listed for name in direct)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("boot/vmlinuz-6.1-mock", "has no kernel"),
        ("bin/busybox", "busybox-static"),
        ("usr/bin/qemu-system-aarch64", "has no QEMU"),
        ("usr/lib/ipxe/qemu/efi-virtio.rom", "efi-virtio.rom, which the host's description asks for"),
    ],
)
def test_root_that_lacks_something(root, tmp_path, name, words):
    (root / name).unlink()
    with pytest.raises(SetupError, match=words):
        image.Cache(tmp_path / "cache", quiet).build(ARM64, root)
    assert not list((tmp_path / "cache").glob("draft-*"))


def test_root_of_another_architecture(root, tmp_path):
    (root / "bin/busybox").write_bytes(program("x86_64"))
    with pytest.raises(SetupError, match="a program for x86_64; a KVM host for aarch64 is wanted"):
        image.Cache(tmp_path / "cache", quiet).build(ARM64, root)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda f: (f / "initrd").write_bytes((f / "initrd").read_bytes()[:-100]),
            "initrd: has .* bytes; the manifest",
        ),
        (lambda f: (f / "initrd").write_bytes(bytes((f / "initrd").stat().st_size)), "initrd: is damaged"),
        (lambda f: (f / "kernel").unlink(), "kernel: is missing"),
        (lambda f: (f / "manifest.json").write_text("{"), "no image of a KVM host"),
        (lambda f: (f / "manifest.json").unlink(), "no image of a KVM host"),
    ],
    ids=["truncated", "overwritten", "kernel missing", "half a manifest", "no manifest"],
)
def test_image_that_is_damaged(made, damage, words):
    cache, built = made
    damage(built.folder)
    with pytest.raises(UsageError, match=words):
        image.load(built.folder, ARM64)


def test_image_of_another_architecture(made):
    with pytest.raises(UsageError, match="an image for aarch64; the machine needs riscv64"):
        image.load(made[1].folder, description.find("riscv64", [LAYER]))


class FakeApt:
    """apt with one package, and ``root`` in it; counts what it is asked."""

    def __init__(self, root, fails=()):
        self.root, self.fails, self.suite, self.unpacked, self.version = root, fails, "", 0, "1.0"

    def __call__(self, _debian, suite, _folder, _path):
        if suite in self.fails:
            raise SetupError(f"no package lists of Debian {suite}")
        self.suite = suite
        return self

    def packages(self, _progress):
        return [apt.Package("qemu-system-arm", self.version, "arm64")]

    def download(self, packages, _progress):
        return [Path(p.file) for p in packages]

    def unpack(self, _files, target, _progress):
        self.unpacked += 1
        subprocess.run(["cp", "-r", self.root, target], check=True)


@pytest.fixture
def fake(root, monkeypatch):
    made = FakeApt(root)
    monkeypatch.setattr(image, "Apt", made)
    return made


def test_image_is_made_once_and_anew_when_an_input_changes(fake, tmp_path, monkeypatch):
    cache = image.Cache(tmp_path / "cache", quiet)
    first = cache.get(ARM64)
    assert cache.get(ARM64) == first and fake.unpacked == 1
    assert cache.build(ARM64) == first and fake.unpacked == 1, "nothing changed"
    fake.version = "1.1"
    assert cache.get(ARM64) == first, "a test run does not ask for new packages"
    second = cache.build(ARM64)
    assert second.folder != first.folder and fake.unpacked == 2
    assert not first.folder.exists(), "what nobody uses is removed"
    monkeypatch.setattr(pack, "FORMAT", 99)
    assert cache.get(ARM64).folder != second.folder and fake.unpacked == 3
    (cache.get(ARM64).folder / "kernel").write_bytes(b"")
    assert cache.get(ARM64).kernel.read_bytes() == b"kernel", "a damaged image is made again"


def test_release_that_cannot_be_had_is_followed_by_the_next(fake, tmp_path):
    wanted = dataclasses.replace(ARM64, debian=dataclasses.replace(ARM64.debian, suites=("old", "new")))
    fake.fails = ("old",)
    assert image.Cache(tmp_path / "a", quiet).get(wanted).source.startswith("Debian new: qemu-system-arm 1.0")
    fake.fails = ("old", "new")
    with pytest.raises(SetupError, match="no package lists of Debian old; no package lists of Debian new"):
        image.Cache(tmp_path / "b", quiet).get(wanted)


def test_interrupted_build_leaves_the_image_before_it(fake, tmp_path, monkeypatch):
    cache = image.Cache(tmp_path / "cache", quiet)
    before = cache.get(ARM64)
    fake.version = "1.1"

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pack, "pack", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cache.build(ARM64)
    left_by_a_kill = cache.folder / "draft-aarch64-left"
    left_by_a_kill.mkdir()
    assert cache.get(ARM64) == before
    assert not list(cache.folder.glob("draft-*"))


def test_disk_full(root, tmp_path, cli):
    import resource

    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 10, 1 << 10))

    (root / "boot/vmlinuz-6.1-mock").write_bytes(bytes(1 << 16))
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "xdg")}
    done = cli("kvm-host", "build", "aarch64", "--from", root, env=env, preexec_fn=small)
    assert done.returncode == 2, done.stderr
    assert "XDG_CACHE_HOME=<directory> puts it elsewhere" in done.stderr


def test_no_apt(tmp_path):
    with pytest.raises(SetupError, match="apt-get is not installed.*--kvm-host DIR"):
        apt.Apt(ARM64.debian, "trixie", tmp_path, str(tmp_path))


def test_no_mirror(tmp_path):
    debian = dataclasses.replace(ARM64.debian, mirror=f"file://{tmp_path}/nowhere")
    try:
        private = apt.Apt(debian, "trixie", tmp_path / "apt")
    except SetupError as error:
        pytest.skip(str(error))
    with pytest.raises(SetupError, match="no package lists of Debian trixie: E: "):
        private.packages(quiet)


@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not installed")
def test_apt_does_not_outlive_a_killed_build(tmp_path):
    for name in ("apt-get", "apt-cache", "apt-config", "dpkg-deb"):
        (tmp_path / name).write_text(f"#!/bin/sh\n[ $1 = dump ] || touch {tmp_path}/started; exec sleep 61.25\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "apt-config").write_text("#!/bin/sh\n")
    script = tmp_path / "build.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(LAYER / 'lib')!r})\nfrom pathlib import Path\n"
        "from oeqa.barebox.nested import description, image\n"
        f"host = description.find('aarch64', [Path({str(LAYER)!r})])\n"
        f"image.Cache(Path({str(tmp_path / 'cache')!r}), print).get(host)\n"
    )
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    build = subprocess.Popen([sys.executable, script], env=env, stdout=subprocess.DEVNULL)
    wait_until((tmp_path / "started").exists)
    build.kill()
    build.wait()
    wait_until(
        lambda: "sleep 61.25" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    )


# Hosts, by a mock


@pytest.fixture
def start(made, tmp_path, monkeypatch):
    """Start a host in a scenario; it has ended, and nothing is left of it, at the test's end."""
    monkeypatch.setattr(hosts, "START_SECONDS", 3)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    running = []

    def run(scenario, memory=64):
        command = tmp_path / "qemu-mock"
        command.write_text(
            f'#!/bin/sh\nMOCK_HOST={scenario} exec "{sys.executable}" "{LAYER}/tests/mock_host.py" "$@"\n'
        )
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
        folder = RunFolder()
        host = hosts.Host(ARM64, made[1], qemu.Program(command, "8.0.0", frozenset()))
        running.append((host, folder))
        host.start(folder, memory, {}, tmp_path / "mock.host.log")
        return host

    yield run
    for host, folder in running:
        host.stop()
        folder.close()
        assert not folder.path.exists()
    wait_until(
        lambda: str(tmp_path) not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    )


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("no_kvm", "cannot run guests: no /dev/kvm: kvm \\[1\\]: HYP mode not available"),
        ("panic", "the KVM host ended\nthe KVM host's last words:\n.*Kernel panic - not syncing: No working init"),
        ("hang", "says nothing on its port port-control for 3 s\n.*\n.*still there"),
        ("no_memory", "Cannot allocate memory"),
        ("fails", "no such device"),
    ],
)
def test_host_that_does_not_come_up(start, scenario, words):
    with pytest.raises(SetupError, match=words):
        start(scenario)


def test_host_that_hangs_later(start):
    with pytest.raises(SetupError, match="says nothing on its port port-control for"):
        start("hangs_later").agent.run("true", 1)


def test_host_that_is_well(start):
    host = start("well")
    assert host.running and not host.warm
    assert host.guest_program().version == "10.0.0"
    host.stop()
    assert not host.running


def test_not_enough_memory(start):
    with pytest.raises(SetupError, match="not enough memory: the KVM host takes 99999512 MiB"):
        start("well", memory=99999000)


def test_complaints_of_kvm_are_heard_once(start, tmp_path):
    host = start("well")
    log = tmp_path / "mock.host.log"
    log.write_text("[ 1.0] usual\n[ 2.0] kvm [7]: load/store instruction decoding not implemented\n[ 3.0] half a li")
    assert host.complaints() == ["[ 2.0] kvm [7]: load/store instruction decoding not implemented"]
    assert host.complaints() == []
    with log.open("a") as stream:
        stream.write("ne\n[ 4.0] kvm [7]: Data abort outside memslots with no valid syndrome info\n")
    assert len(host.complaints()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_host_does_not_outlive_the_harness(made, tmp_path, number):
    (tmp_path / "bin").mkdir()
    binary = tmp_path / "bin/qemu-system-aarch64"
    binary.write_text(f'#!/bin/sh\nMOCK_HOST=hang exec "{sys.executable}" "{LAYER}/tests/mock_host.py" "$@"\n')
    binary.chmod(0o755)
    (tmp_path / "barebox.img").write_bytes(bytes(0x38) + b"ARMd" + bytes(64))
    env = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    command = [sys.executable, str(LAYER / "scripts/barebox-virt"), "test", "qemuarm64-barebox", "--firmware"]
    options = ["barebox.img", "--accel", "nested", "--kvm-host", str(made[1].folder), "--results", "r"]
    harness = subprocess.Popen([*command, *options], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list((tmp_path / "r").glob("logs/*/*.host.log")))
    harness.send_signal(number)
    _, errors = harness.communicate(timeout=30)
    assert "Traceback" not in errors
    assert harness.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    wait_until(lambda: not list(tmp_path.glob("barebox-virt-*")))
    assert f"{tmp_path}/bin" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert image.load(made[1].folder, ARM64), "the image is as it was"


def test_host_that_is_too_old(made, tmp_path, cli):
    (tmp_path / "bin").mkdir()
    binary = tmp_path / "bin/qemu-system-aarch64"
    binary.write_text("#!/bin/sh\necho QEMU emulator version 5.2.0\n")
    binary.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = cli("kvm-host", "run", "aarch64", "--kvm-host", made[1].folder, "--dry-run", env=env)
    assert done.returncode == 2
    assert "is release 5.2.0; the KVM host aarch64 needs 7.2 or newer" in done.stderr


# What crosses the border


class Carrier:
    """The host's side of a mirror, as a dictionary."""

    def __init__(self):
        self.files = {}
        self.puts = 0

    def put(self, archive):
        self.puts += 1
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar.getmembers():
                stream = tar.extractfile(member)
                self.files[f"/{member.name}"] = stream.read() if stream else None

    def get(self, path):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name, data in self.files.items():
                if name == str(path) or name.startswith(f"{path}/"):
                    info = tarfile.TarInfo(name.lstrip("/"))
                    info.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
                    info.size = len(data or b"")
                    tar.addfile(info, io.BytesIO(data or b""))
        return stream.getvalue()

    def remove(self, paths):
        for path in paths:
            self.files.pop(str(path), None)


def test_mirror_brings_changes_over_both_ways(tmp_path):
    share = tmp_path / "share0"
    share.mkdir()
    (share / "mine").write_bytes(b"first")
    carrier = Carrier()
    mirror = Mirror(carrier, [share])
    mirror.push()
    assert carrier.files[f"{share}/mine"] == b"first"
    mirror.push()
    assert carrier.puts == 1, "what did not change is not carried again"
    (share / "mine").write_bytes(b"second one")
    carrier.files[f"{share}/theirs"] = b"from the guest"
    mirror.pull(share)
    assert carrier.files[f"{share}/mine"] == b"second one", "what was written here is not lost"
    assert (share / "theirs").read_bytes() == b"from the guest"
    del carrier.files[f"{share}/theirs"]
    mirror.pull(share)
    assert not (share / "theirs").exists()
    (share / "mine").unlink()
    mirror.push()
    assert f"{share}/mine" not in carrier.files


@pytest.mark.parametrize(("end", "status"), [(b"0\n", 0), (b"134\n", 134), (None, HOST_ENDED)])
def test_console_ends_with_its_qemu(end, status):
    from_port, port = os.pipe()
    from_end, ends = os.pipe()
    relay = Relay(from_port, from_end)
    os.write(port, b"last words")
    os.write(ends, end) if end else os.close(port)
    text = b""
    while part := os.read(relay.from_guest, 100):
        text += part
    assert (text, relay.status) == (b"last words", status)
    relay.close()


def test_a_reader_that_goes_does_not_stop_the_relay():
    from_port, port = os.pipe()
    from_end, _ = os.pipe()
    relay = Relay(from_port, from_end)
    os.set_blocking(port, False)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        try:
            os.write(port, bytes(65536))
        except BlockingIOError:
            break
    relay.close()
    assert not relay.is_alive()


def test_elf_with_a_string_table_outside_of_any_segment(tmp_path):
    head = bytearray(program("x86_64")) + bytes(56 + 32)
    struct.pack_into("<Q", head, 0x20, 64)
    struct.pack_into("<HH", head, 0x36, 56, 1)
    struct.pack_into("<IIQQQQQ", head, 64, elf.PT_DYNAMIC, 0, 120, 0, 0, 32, 32)
    struct.pack_into("<QQQQ", head, 120, elf.DT_STRTAB, 0x1234, 0, 0)
    (tmp_path / "broken").write_bytes(head)
    with pytest.raises(ValueError, match="no segment holds 0x1234"):
        elf.needed(tmp_path / "broken")


def test_command_with_line_feeds_is_one_line():
    """Scripts for the guest are given to QEMU as text, and the host's shell reads a line at a time."""
    words = ["printf", "%s", "name=x,string=#!/bin/sh\necho 'otter'\n\n"]
    line = guest.one_line(words)
    assert "\n" not in line
    said = subprocess.run(["sh", "-c", guest.LINE_FEED + line], capture_output=True, text=True, check=True).stdout
    assert said == words[-1]
