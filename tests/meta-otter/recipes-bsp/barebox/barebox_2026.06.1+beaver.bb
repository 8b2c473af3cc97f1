# SPDX-License-Identifier: MIT
SUMMARY = "A vendor's barebox"
DESCRIPTION = "Upstream's release under a version of the vendor's own."
HOMEPAGE = "https://barebox.org/"
SECTION = "bootloaders"
LICENSE = "GPL-2.0-only"
LIC_FILES_CHKSUM = "file://COPYING;md5=f5125d13e000b9ca1f0d3364286c4192"

SRC_URI = "https://barebox.org/download/barebox-${@d.getVar('PV').partition('+')[0]}.tar.bz2"
SRC_URI[sha256sum] = "8752b3752819ec4aaf848a1d06df05242a64954525fb15b6cf07b3c3dd7ebd7f"

inherit barebox barebox-testimage

S = "${UNPACKDIR}/barebox-${@d.getVar('PV').partition('+')[0]}"

TEST_SUITES = "barebox_boot barebox_shell otter_pond.PondTest.test_deep"

COMPATIBLE_MACHINE = "^beaver$"
