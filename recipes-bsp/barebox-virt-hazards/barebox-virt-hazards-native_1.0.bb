# SPDX-License-Identifier: MIT
SUMMARY = "QEMU plugin that sees what KVM could not emulate"
DESCRIPTION = "The plugin with which the module barebox_kvm_hazards of barebox-testimage watches a bootloader under TCG. \
It needs no header of QEMU and loads into QEMU 7.2 and newer; where this recipe is not built, the host's compiler \
builds the same source on first use."
HOMEPAGE = "https://www.qemu.org/docs/master/devel/tcg-plugins.html"
SECTION = "devel"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://hazards.c;beginline=1;endline=1;md5=234d7d4edd08962c0144e4604050e0b6"

# The library has the source, and builds it where this recipe does not.
# nooelint: oelint.vars.fileextrapaths
FILESEXTRAPATHS:prepend := "${THISDIR}/../../lib/oeqa/barebox/hazards:"
SRC_URI = "file://hazards.c"
S = "${UNPACKDIR}"

inherit_defer native

INHIBIT_DEFAULT_DEPS = "1"

do_compile() {
    ${CC} ${CPPFLAGS} ${CFLAGS} ${LDFLAGS} -std=gnu11 -fPIC -shared -fvisibility=hidden -o hazards.so ${S}/hazards.c
}

do_install() {
    install -D -m 0755 hazards.so ${D}${libdir}/barebox-virt/hazards.so
}
