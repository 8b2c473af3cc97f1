# SPDX-License-Identifier: MIT
"""The errors that a user is meant to read. Only a program's main() turns them into an exit status."""

import unittest


class BareboxError(Exception):
    """Root of this library's errors; the message says what, where, what is allowed and what mends it."""

    exit_status = 2


class UsageError(BareboxError):
    """Wrong input: an unknown name, a malformed file, a firmware that cannot be one."""


class SetupError(BareboxError):
    """The host lacks something: a program, a permission, room on the disk."""


class Unavailable(SetupError, unittest.SkipTest):
    """What a case needs of the host, such as a program that makes its data or a QEMU with plugins, is not there: the
    case is skipped."""


class AcceleratorError(SetupError):
    """The accelerator that was asked for cannot be had."""


class GuestError(AssertionError):
    """The guest misbehaved: silence, a panic, an unexpected reset, QEMU's death. A test's failure, not a set-up's."""


class ShellError(GuestError):
    """The shell refused a line; its prompt is back and the machine is usable."""


class RequestRefused(GuestError):
    """QEMU answered a QMP request with an error."""
