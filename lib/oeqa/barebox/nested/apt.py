# SPDX-License-Identifier: MIT
"""A distribution's packages for any architecture, by apt with a state of its own: nothing of the system changes, and
apt checks the signatures as it always does."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..errors import SetupError
from .description import Debian

Progress = Callable[[str, int], None]
"""What is being done, and how much of it in per cent."""

NO_PACKAGES = (
    "Where packages cannot be had, take an image that was built elsewhere (--kvm-host DIR, BAREBOX_KVM_HOST), or build "
    "one from a root file system: barebox-virt kvm-host build ARCH --from DIR"
)
# Of the system's settings those that tell how to reach a mirror; its hooks and its further indexes are not ours.
ACQUIRE = re.compile(r"^Acquire::(?!IndexTargets|Languages|GzipIndexes|CompressionTypes)\S+ .*;$")
CONFIGURATION = """\
Dir "{folder}";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Log "{folder}/log";
Dir::Etc "{folder}/etc";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
{acquire}
"""


@dataclass(frozen=True, order=True)
class Package:
    """One package as apt chose it."""

    name: str
    version: str
    architecture: str

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


class Apt:
    """apt for one architecture and one release of Debian, with everything it keeps in ``folder``.

    :param path: where to look for apt's programs, as in PATH
    :raises SetupError: apt or the keys that sign the lists are not installed
    """

    def __init__(self, debian: Debian, suite: str, folder: Path, path: str | None = None) -> None:
        self.suite = suite
        self._debian = debian
        self._folder = folder
        self._path = path or os.environ.get("PATH", os.defpath)
        for program in ("apt-get", "apt-cache", "apt-config", "dpkg-deb"):
            if shutil.which(program, path=self._path) is None:
                raise SetupError(f"{program} is not installed, which gets the packages of a KVM host. {NO_PACKAGES}")
        self._configure(self._keyring())

    def packages(self, progress: Progress) -> list[Package]:
        """The packages and all that they depend on, by a fresh list where the mirror can be reached.

        :raises SetupError: there is no list, or it lacks a package
        """
        progress(f"package lists of Debian {self.suite} for {self._debian.architecture}", 0)
        lists = self._folder / "complete"
        done = self._run("apt-get", "update", "-q")
        if done.returncode == 0 and "\nErr:" not in done.stdout:
            lists.touch()
        elif lists.exists():
            progress(f"the package lists cannot be refreshed, older ones are used: {_reason(done)}", 0)
        else:
            raise SetupError(f"no package lists of Debian {self.suite}: {_reason(done)}")
        done = self._run("apt-get", "install", "--simulate", "-q", *self._debian.packages)
        if done.returncode:
            raise SetupError(f"Debian {self.suite} for {self._debian.architecture}: {_reason(done)}")
        found = re.findall(r"(?m)^Inst (\S+) \((\S+) .*\[(\S+)\]\)", done.stdout)
        return sorted(Package(*fields) for fields in found)

    def download(self, packages: Sequence[Package], progress: Progress) -> list[Path]:
        """The packages' files, checked by the digests in the signed lists.

        :raises SetupError: one cannot be had
        """
        digests = self._digests(packages)
        files = {p: self._folder / "cache/archives" / p.file for p in packages}
        for package, file in files.items():
            if file.exists() and _digest(file) != digests[package]:
                file.unlink()
        what = f"{len(packages)} packages of Debian {self.suite} for {self._debian.architecture}"
        done = self._fetch(what, progress)
        for package, file in files.items():
            if not file.exists():
                raise SetupError(f"{what} cannot be had: {_reason(done)}. {NO_PACKAGES}")
            if _digest(file) != digests[package]:
                raise SetupError(f"{file}: is not what the signed list says; remove it and repeat the command")
        return list(files.values())

    def unpack(self, files: Sequence[Path], root: Path, progress: Progress) -> None:
        """Unpack packages into ``root`` without installing them.

        :raises SetupError: the disk is full or a file is damaged
        """

        def extract(file: Path) -> subprocess.CompletedProcess[str]:
            return self._run("dpkg-deb", "--extract", str(file), str(root))

        root.mkdir()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for number, done in enumerate(pool.map(extract, files)):
                progress("unpacking", 100 * number // len(files))
                if done.returncode:
                    raise SetupError(f"unpacking {files[number].name}: {done.stderr.strip()}")

    # Inside

    def _keyring(self) -> str:
        for path in self._debian.keyrings:
            if Path(path).exists():
                return path
        where = ", ".join(self._debian.keyrings)
        raise SetupError(f"the keys of Debian are not installed (looked at {where}): package debian-archive-keyring")

    def _configure(self, keyring: str) -> None:
        folder, d = self._folder, self._debian
        for name in ("state/lists/partial", "cache/archives/partial", "etc/preferences.d", "etc/sources.list.d", "log"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        source = f"deb [arch={d.architecture} signed-by={keyring}] {d.mirror} {self.suite} main\n"
        (folder / "etc/sources.list").write_text(source, encoding="utf-8")
        dump = subprocess.run([self._program("apt-config"), "dump"], capture_output=True, text=True, check=False)
        acquire = "\n".join(line for line in dump.stdout.splitlines() if ACQUIRE.match(line))
        text = CONFIGURATION.format(folder=folder, architecture=d.architecture, acquire=acquire)
        (folder / "apt.conf").write_text(text, encoding="utf-8")

    def _program(self, name: str) -> str:
        return shutil.which(name, path=self._path) or name

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": self._path, "APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C.UTF-8"}

    def _command(self, program: str, *arguments: str) -> list[str]:
        """A command that does not outlive this process."""
        guard = shutil.which("setpriv", path=self._path)
        return [*([guard, "--pdeathsig", "KILL"] if guard else []), self._program(program), *arguments]

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self._command(program, *arguments)
        return subprocess.run(
            command, env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    def _digests(self, packages: Sequence[Package]) -> dict[Package, str]:
        done = self._run("apt-cache", "show", *(f"{p.name}={p.version}" for p in packages))
        found = {}
        for paragraph in done.stdout.split("\n\n"):
            fields = dict(re.findall(r"(?m)^(Package|Version|Architecture|SHA256): (\S+)", paragraph))
            if "SHA256" in fields:
                found[Package(fields["Package"], fields["Version"], fields["Architecture"])] = fields["SHA256"]
        if lacking := [p.name for p in packages if p not in found]:
            raise SetupError(f"the package lists of Debian {self.suite} have no SHA256 of {', '.join(lacking)}")
        return found

    def _fetch(self, what: str, progress: Progress) -> subprocess.CompletedProcess[str]:
        """Download, telling apt's own progress on the way."""
        progress(what, 0)
        read, write = os.pipe()
        install = ["install", "--download-only", "--yes", "-q", "-o", f"APT::Status-Fd={write}"]
        command = self._command("apt-get", *install, *self._debian.packages)
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=self._environment(), text=True, pass_fds=[write], **pipes) as process:  # type: ignore[call-overload]
            os.close(write)
            with os.fdopen(read) as status:
                for line in status:
                    if line.startswith("dlstatus:"):
                        progress(what, int(float(line.split(":")[2])))
            errors = process.stderr.read()
        return subprocess.CompletedProcess(command, process.returncode, "", errors)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """apt's own words, its errors first."""
    lines = [x.strip() for x in done.stderr.splitlines() if x.strip()]
    errors = [x for x in lines if x.startswith("E:")] or lines
    return " ".join(errors[:2]) or f"apt ended with status {done.returncode}"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
