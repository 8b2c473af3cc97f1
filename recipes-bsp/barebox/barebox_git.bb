# SPDX-License-Identifier: MIT
#
# A commit of upstream's repository, without a patch of this layer. In local.conf:
#   PREFERRED_VERSION_barebox = "git"
# Another commit, an old release's too, and the head of a branch:
#   SRCREV:pn-barebox = "1f31cde526d4e251da6464cac42ee2252643b972"  (v2024.10.0)
#   BAREBOX_BRANCH = "next"
#   SRCREV:pn-barebox = "${AUTOREV}"
require barebox.inc

BAREBOX_BRANCH[doc] = "Branch of upstream's repository that has SRCREV, for the git recipe; master by default."
BAREBOX_BRANCH ?= "master"

# PV stays "git": which release a commit is past, the build finds out.
SRC_URI = "git://github.com/barebox/barebox;protocol=https;branch=${BAREBOX_BRANCH}"
SRCREV ?= "dd1d839c2c32a9dfb3fff919bad4570953137ab7"

DEFAULT_PREFERENCE = "-1"
