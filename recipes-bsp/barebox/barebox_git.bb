# SPDX-License-Identifier: MIT
#
# Upstream's branches, without a patch of this layer:
#   PREFERRED_VERSION_barebox = "2026.07.0+git"
# The head of a branch, and any other commit, an old release's too:
#   BAREBOX_BRANCH = "next"
#   SRCREV:pn-barebox = "${AUTOREV}"
require barebox.inc

BAREBOX_BRANCH[doc] = "Branch of upstream's repository that has SRCREV, for the git recipe; master by default."
BAREBOX_BRANCH ?= "master"

PV = "2026.07.0+git"
SRC_URI = "git://github.com/barebox/barebox;protocol=https;branch=${BAREBOX_BRANCH}"
SRCREV ?= "dd1d839c2c32a9dfb3fff919bad4570953137ab7"

DEFAULT_PREFERENCE = "-1"
