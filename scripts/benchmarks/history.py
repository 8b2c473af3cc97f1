#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the tests find in old releases of barebox, on a machine without usable KVM.

    scripts/benchmarks/history.py v2024.10.0        (or any other, or none for all of them)

Runs in BitBake's build environment, with the layer in bblayers.conf. Each release is built for qemuarm64-barebox by the
git recipe, its commit in SRCREV and nothing else, and "bitbake barebox -c testimage" looks for hazards of KVM, at the
mapping of the virtqueues (PCI's among them), and whether it boots under real KVM (nested). Exit status 1 where that is
not what is known of the release.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MACHINE = "qemuarm64-barebox"
CHECKS = {
    "hazards": ("tcg", "barebox_kvm_hazards.HazardsTest.test_workload"),
    "queues": ("tcg", "barebox_virtqueues.MappingTest.test_queues_cached"),
    "nested": ("nested", "barebox_boot.BootTest.test_banner_once"),
}
"""What is looked at: the accelerator and the case."""
RELEASES = {
    "v2024.10.0": (
        "1f31cde526d4e251da6464cac42ee2252643b972",
        {"hazards": "caught", "queues": "caught", "nested": "caught"},
    ),
    "v2024.12.0": (
        "873b572763d38ab4100d218d0a3614f79b596077",
        {"hazards": "clean", "queues": "clean", "nested": "clean"},
    ),
    "v2026.01.0": ("0024921364eb4c8bc8089fdc198440b0d67a239f", {"queues": "clean"}),
    "v2026.02.0": ("8c9d58cef2c65434e719ccbd3799b23014cb779d", {"queues": "caught"}),
}
"""The releases: the tag's commit, and what is known of each."""
VERDICTS = {"PASSED": "clean", "FAILED": "caught", "ERROR": "caught", "EXPECTEDFAIL": "caught"}
CONF = """\
PREFERRED_VERSION_barebox = "git"
SRCREV:pn-barebox = "{commit}"
TEST_SUITES = "{modules}"
BAREBOX_ACCEL = "{accelerator}"
OEQA_JSON_RESULT_DIR = "{results}"
"""


def tested(commit: str, accelerator: str) -> dict[str, str]:
    """Build a commit, test it with an accelerator, and tell the verdict of each check that is made with it."""
    checks = {name: case for name, (where, case) in CHECKS.items() if where == accelerator}
    modules = " ".join(case.partition(".")[0] for case in checks.values())
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder) / "history.conf"
        conf.write_text(
            CONF.format(commit=commit, accelerator=accelerator, modules=modules, results=folder), encoding="utf-8"
        )
        command = ["bitbake", "-R", str(conf), "barebox", "-c", "testimage"]
        subprocess.run(command, env={**os.environ, "MACHINE": MACHINE}, check=False)
        results = Path(folder) / "testresults.json"
        if not results.is_file():
            return dict.fromkeys(checks, "not run")
        (run,) = json.loads(results.read_text(encoding="utf-8")).values()
    statuses = {name: run["result"].get(case, {}).get("status") for name, case in checks.items()}
    return {name: VERDICTS.get(status, "not run") for name, status in statuses.items()}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", nargs="*", help=f"of {', '.join(RELEASES)}; all of them by default")
    wanted = parser.parse_args().release or list(RELEASES)
    if unknown := [release for release in wanted if release not in RELEASES]:
        parser.error(f"unknown release {', '.join(unknown)}; allowed: {', '.join(RELEASES)}")
    if shutil.which("bitbake") is None:
        parser.error("bitbake is not found; first: . <oe-core>/oe-init-build-env")
    found = {}
    for release in wanted:
        commit, known = RELEASES[release]
        found[release] = {}
        for accelerator in dict.fromkeys(CHECKS[name][0] for name in known):
            found[release] |= tested(commit, accelerator)
    print(f"{'release':12}{''.join(f'{name:10}' for name in CHECKS)}as known")
    good = True
    for release, verdicts in found.items():
        same = all(verdicts[name] == verdict for name, verdict in RELEASES[release][1].items())
        good = good and same
        cells = "".join(f"{verdicts.get(name, '-'):10}" for name in CHECKS)
        print(f"{release:12}{cells}{'yes' if same else 'NO'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
