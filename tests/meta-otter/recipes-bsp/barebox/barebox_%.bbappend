# SPDX-License-Identifier: MIT
TEST_SUITES:append:otter = " otter_pond"
