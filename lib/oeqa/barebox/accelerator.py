# SPDX-License-Identifier: MIT
"""Which accelerator a machine may run with, and why another one may not, as data."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import AcceleratorError, UsageError
from .machine import Machine

REQUESTS = ("auto", "kvm", "tcg", "nested")
KVM = Path("/dev/kvm")


@dataclass(frozen=True)
class Plan:
    """Accelerators in the order to try them, and the reason for each that is not among them."""

    request: str
    tries: tuple[str, ...]
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """The accelerator in use; ``reason`` tells why it is not the faster one."""

    name: str
    reason: str = ""


def plan(request: str, machine: Machine, host: str = "", node: Path = KVM) -> Plan:
    """What to try for ``request`` on this host. Whether KVM works is known only once a guest ran under it.

    :param host: the host's architecture; found out when empty
    :raises UsageError: no such accelerator
    :raises AcceleratorError: kvm was asked for and cannot be had
    """
    if request not in REQUESTS:
        raise UsageError(f"unknown accelerator {request!r}; allowed: {', '.join(REQUESTS)}")
    if request == "nested" and machine.qemu.kvm is None:
        raise AcceleratorError(f"nested cannot be had: {machine.name}'s description has no qemu.kvm")
    if request in ("tcg", "nested"):
        return Plan(request, (request,))
    obstacle = _obstacle(machine, host or platform.machine(), node)
    if not obstacle:
        return Plan(request, ("kvm",) if request == "kvm" else ("kvm", "tcg"))
    if request == "kvm":
        raise AcceleratorError(
            f"KVM was asked for and cannot be had: {obstacle}. Take --accel tcg (BAREBOX_ACCEL) instead."
        )
    return Plan(request, ("tcg",), {"kvm": obstacle})


def _obstacle(machine: Machine, host: str, node: Path) -> str:
    """Why KVM is out of the question, empty where it is worth a try."""
    if host != machine.arch:
        return f"the host is {host}, the guest {machine.arch}"
    if machine.qemu.kvm is None:
        return f"{machine.name}'s description has no qemu.kvm"
    if not node.exists():
        return f"{node} is missing: load the kvm module, or allow nested virtualisation"
    if not os.access(node, os.R_OK | os.W_OK):
        return f"no permission for {node}: usermod -aG kvm $USER, then log in again"
    return ""
