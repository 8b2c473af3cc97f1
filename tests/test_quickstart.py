# SPDX-License-Identifier: MIT
"""quickstart: what it decides, refuses and shows; on a mock BitBake, and for real on the distribution's U-Boot."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from barebox_virt import bitbake, builduser, quickstart, sources, summary, workspace
from conftest import LAYER, Cli
from oeqa.barebox.errors import SetupError, UsageError

NOWHERE = "http://127.0.0.1:9"  # the discard port, where nobody listens
MACHINE = "qemuriscv64-barebox"
ROOT = os.geteuid() == 0


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network on which no source can be reached."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, NOWHERE)


def arguments(**values: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    quickstart.add_arguments(parser)
    return argparse.Namespace(**{**vars(parser.parse_args([])), **values})


# What is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--machine", "qemuarm"], "unknown machine 'qemuarm'; known: qemuarm64-barebox"),
        (["--source", "linux=/tmp"], "expected NAME=PATH, NAME one of: bitbake, openembedded-core, barebox"),
        (["--source", "bitbake"], "expected NAME=PATH"),
        (["--source", "bitbake=/nowhere"], "no bitbake is there: it has no bin/bitbake"),
        (["--source", "barebox=/"], f"is no git repository with v{sources.release().version}"),
        (["--workspace", "/tmp/a b"], "cannot work in a path with a blank"),
        (["--workspace", "/dev/null/x"], "Not a directory. Name another folder: --workspace DIR"),
        (["--accel", "hvf"], "invalid choice: 'hvf'"),
    ],
)
def test_bad_input_is_named(cli: Cli, options: list[str], words: str) -> None:
    done = cli("quickstart", "--bootloader", "u-boot", *options)
    assert done.returncode == 2, done.stdout
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_two_runs_in_one_workspace(tmp_path: Path) -> None:
    with workspace.Workspace(tmp_path, None), pytest.raises(SetupError, match="another quickstart runs there"):
        workspace.Workspace(tmp_path, None)
    workspace.Workspace(tmp_path, None)


@pytest.mark.usefixtures("offline")
def test_unreachable_sources_are_named_with_what_helps(tmp_path: Path) -> None:
    with workspace.Workspace(tmp_path, None) as place, pytest.raises(SetupError) as caught:
        quickstart._decide(arguments(bootloader="barebox"), place, {})
    text = str(caught.value)
    for address, _ in sources.pinned().values():
        assert address in text
    assert f"barebox.org/download/barebox-{sources.release().version}.tar.bz2" in text
    for option in ("--source", "--downloads", "HTTPS_PROXY"):
        assert option in text


@pytest.mark.usefixtures("offline")
def test_auto_falls_back_to_u_boot_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with workspace.Workspace(tmp_path, None) as place:
        assert quickstart._decide(arguments(bootloader="auto"), place, {}) == "u-boot"
    assert "the same job is done with the distribution's U-Boot" in capsys.readouterr().out


@pytest.mark.usefixtures("offline")
def test_local_sources_are_not_asked_for(tmp_path: Path) -> None:
    local = {name: tmp_path for name in sources.NAMES}
    with workspace.Workspace(tmp_path / "w", None) as place:
        assert quickstart._decide(arguments(bootloader="auto"), place, local) == "barebox"


# Sources


def git(folder: Path, *command: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *who, "-C", str(folder), *command], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the release's tag on something else than barebox."""
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "COPYING").write_text("otter\n", encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "otter")
    git(folder, "tag", f"v{sources.release().version}")
    return folder


def test_tarball_that_is_not_the_release_is_refused(repository: Path, tmp_path: Path) -> None:
    assert sources.parse([f"barebox={repository}"]) == {"barebox": repository}
    with pytest.raises(SetupError, match="does not make the tarball that was released"):
        sources.pack(repository, sources.release(), tmp_path)
    assert not list(tmp_path.glob("*barebox-*")), "no half-made tarball is left"


def test_tarball_is_what_git_archives(repository: Path, tmp_path: Path) -> None:
    archive = ["git", "-C", str(repository), "archive", "--prefix=barebox-1/", "v1"]
    git(repository, "tag", "v1")
    plain = subprocess.run(archive, capture_output=True, check=True).stdout
    packed = subprocess.run(["bzip2", "-9"], input=plain, capture_output=True, check=True).stdout
    digest = hashlib.sha256(packed).hexdigest()
    sources.pack(repository, sources.Release("1", digest), tmp_path)
    assert (tmp_path / "barebox-1.tar.bz2").read_bytes() == packed


def test_another_choice_of_sources_is_another_setup(tmp_path: Path) -> None:
    with workspace.Workspace(tmp_path, None) as place:
        assert place.layers({}) == place.layers({"barebox": tmp_path})
        assert place.layers({}) != place.layers({"bitbake": tmp_path})


# The build user


def test_setup_and_build_have_the_same_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server that bitbake-setup leaves behind is the one that builds."""
    bitbake_setup = tmp_path / "venv/bin/bitbake-setup"
    bitbake_setup.parent.mkdir(parents=True)
    bitbake_setup.write_text("#!/bin/sh\necho $PATH $LC_ALL > seen\n", encoding="utf-8")
    bitbake_setup.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bitbake_setup.with_name("python3")))
    with workspace.Workspace(tmp_path, None) as place, pytest.raises(SetupError, match="bitbake-setup failed"):
        place.provide_setup({})
    path, locale = (tmp_path / "seen").read_text(encoding="utf-8").split()
    assert path.split(":")[0] == str(bitbake_setup.parent)
    assert locale == "en_US.UTF-8"


def test_who_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert builduser.choose(None) == builduser.DEFAULT
    monkeypatch.setenv("SUDO_USER", "otter")
    assert builduser.choose(None) == "otter"
    assert builduser.choose("beaver") == "beaver"


def test_users_that_cannot_build() -> None:
    with pytest.raises(UsageError, match="BitBake refuses root"):
        builduser.find("root")
    with pytest.raises(UsageError, match="no such user; make it by: useradd"):
        builduser.find("no-such-otter")


def test_command_line_of_the_build_user_holds_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    given = arguments(machine=[MACHINE], source=["barebox=b"], downloads=Path("d"), workspace=Path("w"), accel="tcg")
    assert quickstart._again(given) == [
        *("quickstart", "--bootloader", "auto", "--accel", "tcg", "--machine", MACHINE),
        *("--source", f"barebox={tmp_path}/b", "--workspace", f"{tmp_path}/w", "--downloads", f"{tmp_path}/d"),
    ]


@pytest.mark.skipif(not ROOT, reason="needs root, to become another user")
def test_layer_that_the_user_cannot_read_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = tmp_path / "hidden/layer"
    shutil.copytree(LAYER / "conf", hidden / "conf")
    hidden.parent.chmod(0o700)
    monkeypatch.setattr(builduser, "LAYER", hidden)
    nobody = pwd.struct_passwd(["nobody", "x", 65534, 65534, "", str(tmp_path / "home"), "/bin/sh"])
    copy = builduser.readable_layer(nobody)
    assert copy == tmp_path / "home/meta-barebox-virt"
    assert (copy / "conf/layer.conf").read_bytes() == (hidden / "conf/layer.conf").read_bytes()
    assert "nobody cannot read" in capsys.readouterr().err


# A mock BitBake

MOCK = """#!/bin/sh
echo "Parsing of 4 .bb files complete"
echo "NOTE: Running task 1 of 2 (/layer/barebox_1.bb:do_compile)"
{body}
"""
GOOD = """cat > "$(dirname "$2")/testresults.json" <<END
{"r": {"configuration": {"MACHINE": "$MACHINE", "STARTTIME": "1", "BOOTLOADER": "barebox", "BOOTLOADER_VERSION": "1",
 "ACCELERATOR": "tcg", "BOOT_SECONDS": 0.5}, "result": {"a.B.test_c": {"status": "PASSED"}}}}
END"""


def mock_build(folder: Path, body: str) -> bitbake.BitBake:
    (folder / "build").mkdir(parents=True)
    (folder / "results").mkdir()
    program = folder / "bin/bitbake"
    program.parent.mkdir()
    program.write_text(MOCK.replace("{body}", body), encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (folder / "build/init-build-env").write_text(f'PATH="{program.parent}:$PATH"\n', encoding="utf-8")
    return bitbake.BitBake(folder, folder / "bitbake.log", folder / "results", "tcg", True)


def machine() -> Any:
    return quickstart._machines([MACHINE])[0]


def test_build_is_shown_logged_and_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = quickstart._built(mock_build(tmp_path, GOOD), machine())
    assert run.good
    assert f"{MACHINE}: task 1 of 2: barebox_1.bb:do_compile" in capsys.readouterr().out
    assert "Running task 1 of 2" in (tmp_path / "bitbake.log").read_text(encoding="utf-8")
    assert summary.row(run)[1:7] == ("ok", "barebox 1", "tcg", "1", "0", "0")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo 'ERROR: lzop is missing'; exit 1", "ERROR: lzop is missing"),
        ("printf 'Parsing recipes...ERROR: ParseError at x.bb:2\\n'; exit 1", "ERROR: ParseError at x.bb:2"),
        ("echo 'killed'; exit 137", "killed"),
        ("exit 0", "no results of qemuriscv64-barebox"),
    ],
)
def test_build_that_fails_tells_why(tmp_path: Path, body: str, words: str) -> None:
    run = quickstart._built(mock_build(tmp_path, body), machine())
    assert not run.good
    assert summary.row(run)[1] == "error"
    assert words in "\n".join(summary.footnotes([run]))


def test_interrupt_ends_bitbake(tmp_path: Path) -> None:
    build = mock_build(tmp_path, f"echo $$ > {tmp_path}/pid; trap 'exit 1' INT; sleep 60 & wait")

    def interrupt() -> None:
        while not (tmp_path / "pid").exists():
            time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        build.test(MACHINE)
    pid = (tmp_path / "pid").read_text(encoding="utf-8").strip()
    assert not Path(f"/proc/{pid}").exists()


def test_killed_quickstart_ends_bitbake(tmp_path: Path) -> None:
    mock_build(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    start = f"bitbake.BitBake(Path({str(tmp_path)!r}), *map(Path, ('log', '.')), 'tcg', True).test('otter')"
    paths = os.pathsep.join(str(LAYER / folder) for folder in ("lib", "scripts/lib"))
    quick = subprocess.Popen(
        [sys.executable, "-c", f"from pathlib import Path; from barebox_virt import bitbake; {start}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text(encoding="utf-8").strip():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    quick.kill()
    quick.wait()
    pid = (tmp_path / "pid").read_text(encoding="utf-8").strip()
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_bitbake_that_hangs_is_killed_with_its_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bitbake, "END_SECONDS", (0.2, 0.2))
    task = f"setsid sh -c 'echo $$ > {tmp_path}/task; exec sleep 60'"
    body = f"trap '' INT; echo $$ > {tmp_path}/build/bitbake.lock; {task} & while :; do sleep 1; done"
    mock_build(tmp_path, body)
    process = subprocess.Popen([str(tmp_path / "bin/bitbake"), "-R", "x"], start_new_session=True, text=True)
    while not (tmp_path / "task").exists() or not (tmp_path / "task").read_text(encoding="utf-8").strip():
        time.sleep(0.05)
    bitbake._end(process, tmp_path / "build/bitbake.lock")
    task_id = (tmp_path / "task").read_text(encoding="utf-8").strip()
    deadline = time.monotonic() + 10
    while is_alive(task_id):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: str) -> bool:
    """Whether a process runs; one that ended may have nobody to bury it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# The table


def run_of(**statuses: str) -> summary.Run:
    result = {f"m.C.{name}": {"status": status, "log": f"why {name}"} for name, status in statuses.items()}
    return summary.Run(MACHINE, {"ACCELERATOR": "tcg", "ACCELERATOR_REASON": "no kvm: otter"}, result, 1.0)


@pytest.mark.parametrize(
    ("statuses", "good"),
    [
        ({"a": "PASSED", "b": "SKIPPED", "c": "EXPECTEDFAIL"}, True),
        ({"a": "PASSED", "b": "FAILED"}, False),
        ({"a": "PASSED", "b": "ERROR"}, False),
        ({"a": "SKIPPED"}, False),
        ({}, False),
    ],
)
def test_what_counts_as_good(statuses: dict[str, str], good: bool) -> None:
    assert run_of(**statuses).good is good


def test_nothing_is_hidden() -> None:
    run = run_of(test_bad="FAILED", test_known="EXPECTEDFAIL", test_not="SKIPPED")
    text = "\n".join([*summary.footnotes([run]), *summary.skipped([run])])
    for words in ("FAILED m.C.test_bad", "why test_bad", "m.C.test_known", "no kvm: otter", "1 skipped: why test_not"):
        assert words in text


def test_the_newest_run_of_the_machine_counts(tmp_path: Path) -> None:
    entries = {
        str(n): {"configuration": {"MACHINE": name, "STARTTIME": str(n)}, "result": {f"a.B.test_{n}": {}}}
        for n, name in enumerate([MACHINE, MACHINE, "other"])
    }
    (tmp_path / "t.json").write_text(json.dumps(entries), encoding="utf-8")
    assert list(summary.newest(tmp_path / "t.json", MACHINE, 0).result) == ["a.B.test_1"]
    with pytest.raises(SetupError, match="no results of nothing"):
        summary.newest(tmp_path / "t.json", "nothing", 0)


# For real


def test_u_boot_for_real(cli: Cli, tmp_path: Path) -> None:
    if not shutil.which("qemu-system-riscv64"):
        pytest.skip("qemu-system-riscv64 is not installed")
    done = cli("quickstart", "--bootloader", "u-boot", "--machine", MACHINE, "--workspace", tmp_path / "w")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: U-Boot of the distribution, NOT barebox" in done.stdout
    assert f"{MACHINE}  ok" in done.stdout
    assert list((tmp_path / "w/results").glob("*/testresults.json"))


def test_host_without_qemu(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    env = {**os.environ, "PATH": str(tmp_path / "bin")}
    done = cli("quickstart", "--bootloader", "u-boot", "--workspace", tmp_path / "w", env=env)
    assert done.returncode == 2
    assert "this host lacks: qemu-system-aarch64, qemu-system-riscv64, qemu-system-x86_64" in done.stderr
    assert "--install-deps" in done.stderr
