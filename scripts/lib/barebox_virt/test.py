# SPDX-License-Identifier: MIT
"""test: the cases on a firmware of one's own, without BitBake."""

from __future__ import annotations

import argparse
import functools
import random
import shlex
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oeqa.barebox import fit, qemu, results
from oeqa.barebox.case import BootloaderTestCase
from oeqa.barebox.errors import GuestError, UsageError
from oeqa.barebox.firmware import Firmware
from oeqa.barebox.machine import Machine
from oeqa.barebox.results import Verdict
from oeqa.barebox.target import BOOT_SECONDS, SILENCE_SECONDS, Target

from . import LAYER, common, jobs, progress, table

NAME = "test"
HELP = "run the cases on a firmware; exit status 1 where one failed"
EXAMPLES = """\
  barebox-virt test qemuarm64-barebox --firmware images/barebox-dt-2nd.img
  barebox-virt test qemux86-64-barebox --firmware barebox.efi --accel kvm
  barebox-virt test qemuarm64-barebox --firmware FILE --patches all      built with the layer's patches
  barebox-virt test qemuarm64-barebox --firmware FILE --jobs 2   in half the time, on two processors
  barebox-virt test qemuriscv64-barebox --bootloader u-boot      the distribution's U-Boot
  barebox-virt test qemuarm64-barebox --firmware FILE --case barebox_virtio.NetTest --repeat 20"""
WORDS = {"PASSED": "passed", "FAILED": "failed", "ERROR": "error", "SKIPPED": "skipped", "EXPECTEDFAIL": "known"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``test``."""
    common.add_firmware_arguments(parser)
    common.add_patches_argument(parser)
    parser.add_argument(
        "--case", action="append", default=[], metavar="MODULE[.CLASS[.TEST]]", help="only these cases; repeatable"
    )
    parser.add_argument("--slow", action="store_true", help="run slow cases, too")
    hold = "keep the machine of the first failure, paused, and print its console's and gdb's sockets; Ctrl-C ends it"
    parser.add_argument("--hold-on-failure", action="store_true", help=hold)
    parser.add_argument("--list", action="store_true", help="print the cases' names and claims; run nothing")
    where = "folder for testresults.json and logs (default: a new one below barebox-virt-results)"
    parser.add_argument("--results", type=Path, metavar="DIR", help=where)
    key = "NAME.key, with NAME.crt beside it, whose public half is in the firmware (default: what needs it is skipped)"
    parser.add_argument("--signing-key", type=signing_key, metavar="FILE", help=key)
    boot = f"deadline from a start to the prompt (default: {BOOT_SECONDS:g})"
    parser.add_argument("--boot-seconds", type=seconds, default=BOOT_SECONDS, metavar="S", help=boot)
    silence = f"a busy guest that says nothing for so long is taken for dead (default: {SILENCE_SECONDS:g})"
    parser.add_argument("--silence-seconds", type=seconds, default=SILENCE_SECONDS, metavar="S", help=silence)
    add_seed_argument(parser)
    order = "run the cases in an order that depends on the seed; many more starts (default: few starts)"
    parser.add_argument("--shuffle", action="store_true", help=order)
    several = "run cases on so many machines at once, on as many processors (default: 1)"
    parser.add_argument("--jobs", type=_positive, default=1, metavar="N", help=several)
    parser.add_argument("--repeat", type=_positive, default=1, metavar="N", help="run everything N times")


def add_seed_argument(parser: argparse.ArgumentParser) -> None:
    """--seed: what random data of cases and disks depend on."""
    which = "random data of cases and disks as in the run whose results tell this RANDOM_SEED (default: a new one)"
    parser.add_argument("--seed", type=int, metavar="N", help=which)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}; a number from 1 on is expected")
    return int(text)


def signing_key(text: str) -> Path:
    """An option's value that is a key for FIT images."""
    try:
        return fit.key_folder(Path(text)).absolute() / Path(text).name
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def seconds(text: str) -> float:
    """An option's value that is a number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 86400:
        raise argparse.ArgumentTypeError(f"{text!r}; seconds are expected, more than 0 and less than a day")
    return value


def load_cases(arguments: argparse.Namespace) -> list[BootloaderTestCase]:
    """The cases that the command line asks for, from all layers."""
    folders = [layer / "lib/oeqa/runtime/cases" for layer in reversed(common.layers(arguments))]
    return results.load([f for f in folders if f.is_dir()], arguments.bootloader, arguments.case)


def _list(cases: Sequence[BootloaderTestCase]) -> int:
    table.show("Cases", ("case", "claim"), [(c.name, c.shortDescription() or "") for c in cases])
    return 0


def _show(heading: str, verdicts: Sequence[Verdict]) -> None:
    rows = [(v.case, WORDS[v.status], f"{v.seconds:.2f}", v.reason) for v in verdicts]
    table.show(heading, ("case", "verdict", "seconds", "why"), rows)
    for v in verdicts:
        if v.status in results.BAD:
            print(f"\n{WORDS[v.status]}: {v.case}\n{v.log.rstrip()}")


@dataclass(frozen=True)
class Facts:
    """What a run's target knows of it: its title and configuration for the results, whether it came to a prompt, and
    the known issues that may hide a failure, since nobody knows whether their patch is in."""

    title: str
    configuration: tuple[str, dict[str, object]]
    booted: bool
    doubtful: frozenset[str]


def _facts(started: float, target: Target, verdicts: Sequence[Verdict]) -> Facts:
    known = target.firmware.patches is not None
    failed = [target.expected_failure(v.case) for v in verdicts if v.status == "EXPECTEDFAIL" and not known]
    doubtful = frozenset(issue.id for issue in failed if issue is not None and issue.patch)
    return Facts(results.title(target), results.configuration(target, started), bool(target.boots), doubtful)


def _show_doubt(doubtful: Iterable[str]) -> None:
    if doubtful:
        print(
            f"\nnote: nobody said which of the layer's patches are in this firmware; these would be failures if theirs "
            f"is: {', '.join(sorted(doubtful))}. Tell by --patches all, none or a list."
        )


def replay(arguments: argparse.Namespace, firmware: Firmware, case: str, seed: int) -> str:
    """The command that runs one case again, from wherever it is typed."""
    files = {"--firmware": firmware.image, "--elf": firmware.elf, "--config": firmware.config, "--bios": firmware.bios}
    files |= {"--kvm-host": arguments.kvm_host, "--signing-key": arguments.signing_key}
    command = [str(LAYER / "scripts/barebox-virt"), "test", arguments.machine]
    command += ["--bootloader", arguments.bootloader, "--accel", arguments.accel, "--case", case, "--seed", str(seed)]
    command += [word for option, path in files.items() if path for word in (option, str(path.absolute()))]
    command += [word for layer in arguments.layer for word in ("--layer", str(layer.absolute()))]
    command += ["--patches", arguments.patches] if arguments.patches else []
    return f'exec {shlex.join([*command, *["--slow"] * arguments.slow])} "$@"'


def once(
    m: Machine,
    firmware: Firmware,
    arguments: argparse.Namespace,
    cases: Sequence[BootloaderTestCase],
    folder: results.Folder,
) -> bool:
    """Run the cases once, record and show them; whether none failed."""
    started = time.time()
    known = common.find_known_issues(arguments)
    shown = progress.Progress(f"{firmware.bootloader} on {m.name}", len(cases))
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(started))
    seed = random.getrandbits(32) if arguments.seed is None else arguments.seed
    order = random.Random(seed).sample(cases, len(cases)) if arguments.shuffle else cases

    def make(job: int) -> Target:
        return Target(
            m,
            firmware,
            qemu.find(m),
            folder.path / "logs" / stamp / (f"job-{job}" if job else ""),
            arguments.accel,
            known_issues=known,
            boot_seconds=arguments.boot_seconds,
            silence_seconds=arguments.silence_seconds,
            slow=arguments.slow,
            host=common.find_kvm_host(arguments, m),
            evidence_folder=folder.path.absolute() / "evidence" / stamp,
            replay=lambda case, seed: replay(arguments, firmware, case, seed),
            holder=common.holder(shown.note) if arguments.hold_on_failure else None,
            linux=common.find_linux(arguments, m),
            seed=seed,
            signing_key=arguments.signing_key,
        )

    def heard(verdict: Verdict) -> None:
        shown.step(verdict.case, WORDS[verdict.status])

    about = functools.partial(_facts, started)
    if arguments.jobs > 1:
        with jobs.Jobs(order, arguments.jobs, make, about) as running, shown:
            verdicts, facts = running.listen(heard)
    else:
        with make(0) as target, shown:
            try:
                target.start()
            except GuestError as error:
                shown.note(f"the machine does not come to its prompt: {str(error).splitlines()[0]}")
            verdicts = results.run(order, target, heard)
            facts = [about(target, verdicts)]
    told = max(facts, key=lambda f: f.booted)
    path = folder.add(*told.configuration, verdicts)
    _show(told.title, verdicts)
    _show_doubt(frozenset().union(*(f.doubtful for f in facts)))
    counts = {word: sum(WORDS[v.status] == word for v in verdicts) for word in dict.fromkeys(WORDS.values())}
    print(f"\n{', '.join(f'{n} {word}' for word, n in counts.items() if n)}. Results: {path}")
    return not any(v.status in results.BAD for v in verdicts)


def run(arguments: argparse.Namespace) -> int:
    """Test one firmware on one machine."""
    cases = load_cases(arguments)
    if arguments.list:
        return _list(cases)
    common.refuse_hold(arguments, arguments.hold_on_failure, "--hold-on-failure")
    if arguments.hold_on_failure and arguments.jobs > 1:
        raise UsageError("--hold-on-failure keeps one machine; leave out --jobs")
    m = common.find_machine(arguments)
    firmware = common.with_patches(arguments, common.find_firmware(arguments, m))
    if not cases:
        raise UsageError(f"no case speaks to {arguments.bootloader}")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    path = arguments.results or Path("barebox-virt-results") / f"{m.name}-{stamp}"
    with results.Folder(path) as folder:
        return int(not all([once(m, firmware, arguments, cases, folder) for _ in range(arguments.repeat)]))
