# SPDX-License-Identifier: MIT
#
# Builds barebox with the host's cross-compiler and the host's tools, so that
# nothing else has to be built. The fragment barebox-virt/host-toolchain inherits
# it everywhere; it touches recipes called barebox and nothing else:
#
#   bitbake-config-build enable-fragment barebox-virt/host-toolchain
#   bitbake barebox -c testimage
#
# It ends at do_deploy and do_testimage: installing and packaging would need pseudo and rpm.

BAREBOX_HOST_TRIPLET[doc] = "What the names of the host's cross-compiler and binutils start with, without the last dash."
BAREBOX_HOST_TRIPLET ?= "${TARGET_ARCH}-linux-gnu"

BAREBOX_HOST_PROGRAMS[doc] = "The host's programs that a build and a test with the host's toolchain use."
BAREBOX_HOST_PROGRAMS = "\
    ${@' '.join('%s-%s' % (d.getVar('BAREBOX_HOST_TRIPLET'), tool) for tool in 'gcc cpp ld nm ar as addr2line objcopy objdump ranlib readelf strip'.split())} \
    bison flex lz4 lzop mkimage dtc pkg-config \
    qemu-system-aarch64 qemu-system-riscv64 qemu-system-x86_64 \
"

# Not HOSTTOOLS: what is missing is told below, with the package that has it.
HOSTTOOLS_NONFATAL += "${BAREBOX_HOST_PROGRAMS}"

# The host has the tools that the tasks up to do_deploy run; what other tasks
# would need is not looked for, since they cannot run here.
ASSUME_PROVIDED += "^.*-native$ ^binutils-cross-.*$ ^ovmf$"

# A machine's second firmware is the distribution's as well.
BAREBOX_TEST_BIOS ?= "host"

INHIBIT_DEFAULT_DEPS:pn-barebox = "1"
TARGET_PREFIX:pn-barebox = "${BAREBOX_HOST_TRIPLET}-"

# quilt would be one more recipe; patch is in HOSTTOOLS.
PATCHTOOL:pn-barebox = "patch"

# The host's libraries for the programs that run during the build, by the host's
# pkg-config: without the paths that the pkgconfig class exports for the target.
EXTRA_OEMAKE:append:pn-barebox = " PKG_CONFIG='env -u PKG_CONFIG_PATH -u PKG_CONFIG_LIBDIR -u PKG_CONFIG_SYSROOT_DIR pkg-config'"

# deltask as such would be for every recipe, since this class is inherited everywhere.
# nooelint: oelint.task.noanonpython
python () {
    if d.getVar('PN') != 'barebox':
        return
    for task in ('install', 'populate_sysroot', 'package', 'packagedata', 'package_qa', 'package_write_deb',
                 'package_write_ipk', 'package_write_rpm'):
        bb.build.deltask('do_' + task, d)
        bb.build.deltask('do_%s_setscene' % task, d)
}

python barebox_host_check() {
    import json
    import subprocess

    with open(bb.utils.which(d.getVar('BBPATH'), 'conf/packages.json')) as f:
        names = json.load(f)
    path = d.getVar('BB_ORIGENV', False).getVar('PATH')

    def has(item):
        if item in names['programs']:
            return bb.utils.which(path, item, executable=True)
        if item in names['files']:
            return any(os.path.exists(p) for p in names['files'][item]['paths'])
        return subprocess.call(['pkg-config', '--exists', item], env={'PATH': path}) == 0

    others = {'aarch64', 'riscv64', 'x86_64'} - {d.getVar('TARGET_ARCH')}
    wanted = [i for i in names['sets']['build'] if not any(arch in i for arch in others)]
    missing = [i for i in wanted if not has(i)]
    if not missing:
        return
    tool, install = ('dnf', 'dnf install') if bb.utils.which(path, 'dnf') else ('apt', 'apt-get install')
    packages = {i: names[kind][i][tool] for kind in ('programs', 'files', 'headers') for i in names[kind]}
    bb.fatal("The fragment barebox-virt/host-toolchain builds %s with the host's tools, and this host lacks:\n%s\n"
             "Install them: sudo %s %s\nOr build OpenEmbedded's own toolchain: bitbake-config-build disable-fragment "
             "barebox-virt/host-toolchain" % (
                 d.getVar('MACHINE'), "\n".join("  %s (package %s)" % (i, packages[i]) for i in missing),
                 install, " ".join(sorted({p for i in missing for p in packages[i].split()}))))
}
addhandler barebox_host_check
# Before a build, and not whenever configuration is read: the fragment can be disabled on any host.
barebox_host_check[eventmask] = "bb.event.SanityCheck"
