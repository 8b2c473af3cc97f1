# SPDX-License-Identifier: MIT
"""The command line over the library in lib/oeqa/barebox; one module a subcommand."""

from pathlib import Path

LAYER = Path(__file__).resolve().parents[3]
