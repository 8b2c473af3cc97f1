# SPDX-License-Identifier: MIT
"""The GNU assembler and disassembler of each architecture, for tests that must not check a decoder against itself."""

import re
import shutil
import subprocess

import pytest

SETUP = {
    "aarch64": ".arch armv8.8-a+sve2+memtag+ls64+pauth\n",
    "riscv64": ".option arch, rv64gcv\n",
    "x86_64": "",
}
LINE = re.compile(r"^\s*[0-9a-f]+:\t((?:[0-9a-f]+ )+)\s*\t?(.*)$")


def tool(arch, name):
    """The architecture's binutils; the test is skipped by name where they are missing."""
    program = shutil.which(f"{arch}-linux-gnu-{name}")
    if program is None:
        package = f"binutils-{arch.replace('_', '-')}-linux-gnu"
        pytest.skip(f"{arch}-linux-gnu-{name} is not installed; its package on Debian: {package}")
    return program


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def dump(arch, path, *options):
    """Bytes and words of each instruction in an object file."""
    found = []
    for line in run(tool(arch, "objdump"), "-d", "-z", "-w", *options, path).splitlines():
        match = LINE.match(line)
        if match:
            code = b"".join(int(x, 16).to_bytes(len(x) // 2, "little") for x in match[1].split())
            found.append((code, " ".join(match[2].split())))
    return found


def assemble(arch, lines, folder):
    """The bytes of each line, one instruction each."""
    source = folder / "lines.s"
    source.write_text(SETUP[arch] + "".join(f"{line}\n" for line in lines))
    run(tool(arch, "as"), "-o", folder / "lines.o", source)
    codes = [code for code, _ in dump(arch, folder / "lines.o")]
    assert len(codes) == len(lines), "one instruction a line is expected"
    return codes


def disassemble(arch, words, folder):
    """What the disassembler makes of 32-bit words."""
    path = folder / "words.bin"
    path.write_bytes(b"".join(w.to_bytes(4, "little") for w in words))
    texts = [text for _, text in dump(arch, path, "-D", "-b", "binary", "-m", arch)]
    assert len(texts) == len(words)
    return texts
