# SPDX-License-Identifier: MIT
#
# Builds barebox with the host's cross-compilers. The fragment barebox-virt/host-toolchain inherits it everywhere; it
# touches barebox alone.

BAREBOX_HOST_TRIPLET[doc] = "Triplet of the host's cross-compiler for barebox, by architecture."
BAREBOX_HOST_TRIPLET = "${TARGET_ARCH}-linux-gnu"

# What the compiler and barebox' build need of the host, besides what OpenEmbedded asks for anyway.
BAREBOX_HOST_PROGRAMS = " \
    ${@' '.join('${BAREBOX_HOST_TRIPLET}-%s' % t for t in 'gcc ld nm objcopy objdump strip ar'.split())} \
    bison flex lz4 lzop mkimage dtc pkg-config openssl \
"

HOSTTOOLS += "${BAREBOX_HOST_PROGRAMS}"

ASSUME_PROVIDED += " \
    bison-native flex-native lz4-native lzop-native u-boot-tools-native dtc-native pkgconfig-native openssl-native \
    libusb1-native patch-native quilt-native qemu-system-native qemu-helper-native patch-replacement-native \
    virtual/fakeroot-native virtual/cross-cc virtual/cross-binutils virtual/libc virtual/compilerlibs \
"

INHIBIT_DEFAULT_DEPS:pn-barebox = "1"
TARGET_PREFIX:pn-barebox = "${BAREBOX_HOST_TRIPLET}-"
PATCHTOOL:pn-barebox = "patch"
BAREBOX_TEST_BIOS:pn-barebox = "host"
BAREBOX_TEST_DEPENDS:pn-barebox = ""
