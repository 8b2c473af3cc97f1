# SPDX-License-Identifier: MIT
"""barebox-virt's command line: picks the subcommand and turns errors into exit statuses."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence

from oeqa.barebox.errors import BareboxError, GuestError

from . import compare, doctor, hazards, kvm_host, machines, quickstart, run, test

SUBCOMMANDS = (quickstart, doctor, machines, run, test, compare, hazards, kvm_host)
DESCRIPTION = """\
Build, boot and test bootloaders in QEMU.

Exit status: 0 passed, 1 a test or a check failed, 2 usage or set-up, 130 interrupted."""


def make_parser() -> argparse.ArgumentParser:
    """The parser with every subcommand."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="barebox-virt", description=DESCRIPTION, formatter_class=raw)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in SUBCOMMANDS:
        epilog = f"examples:\n{module.EXAMPLES}"
        sub = commands.add_parser(
            module.NAME,
            help=module.HELP,
            description=module.HELP,
            epilog=epilog,
            formatter_class=raw,
            allow_abbrev=False,
        )
        module.add_arguments(sub)
        sub.add_argument(
            "--install-deps",
            action="store_true",
            help="install missing packages of the distribution, naming them first",
        )
        sub.set_defaults(run=module.run)
    return parser


def _survive_any_locale() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _complain(message: str) -> None:
    print(f"barebox-virt: error: {message}", file=sys.stderr)


def guarded(run: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run a subcommand; its errors become messages and exit statuses."""
    try:
        status = run(arguments)
        sys.stdout.flush()
        return status
    except BareboxError as error:
        _complain(str(error))
        return error.exit_status
    except GuestError as error:
        _complain(str(error))
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        _complain(f"{error.filename or 'input/output'}: {error.strerror or error}")
        return 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` and return its exit status."""
    _survive_any_locale()
    arguments = make_parser().parse_args(argv)
    return guarded(arguments.run, arguments)
