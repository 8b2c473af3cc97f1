# SPDX-License-Identifier: MIT
#
# An image that QEMU boots by way of barebox, as a device does: QEMU, barebox, the image's own kernel, its root file system.
# In local.conf, on qemuarm64-barebox or qemuriscv64-barebox:
#
#   IMAGE_CLASSES += "testimage barebox-image"
#
# Then runqemu shows barebox' start before Linux', and
#
#   bitbake core-image-minimal -c testimage
#
# runs barebox' own cases first (bitbake barebox -c testimage), each on a bare machine, and then oe-core's on the Linux that
# barebox booted. Nothing of it changes another image, or this one on another machine.

BAREBOX_IMAGE_OPTIONS[doc] = "Linux' command line in the image, beside the root file system and the console."
BAREBOX_IMAGE_OPTIONS ?= ""

BAREBOX_IMAGE_CONSOLE[doc] = "Linux' console, the machine's first serial one."
BAREBOX_IMAGE_CONSOLE ?= "${@d.getVar('SERIAL_CONSOLES').split()[0].split(';')[1]}"

IMAGE_INSTALL:append = " kernel-image"

# What runqemu starts in the kernel's place; the kernel gets its command line by the entry below.
QB_DEFAULT_KERNEL = "${@barebox_image_firmware(d)}"
# nooelint: oelint.vars.mispell - runqemu knows it
QB_KERNEL_CMDLINE = "none"

do_write_qemuboot_conf[depends] += "virtual/bootloader:do_deploy"
do_testimage[depends] += "virtual/bootloader:do_testimage"

def barebox_image_firmware(d):
    """barebox' image, by the machine's description."""
    import json
    path = bb.utils.which(d.getVar('BBPATH'), 'conf/machines/%s.json' % d.getVar('MACHINE'))
    if not path:
        bb.fatal('barebox-image: no layer describes MACHINE = "%s" (conf/machines/*.yaml)' % d.getVar('MACHINE'))
    bb.parse.mark_dependency(d, path)
    with open(path) as f:
        loader = json.load(f)['firmware']['barebox']
    if 'bios' in loader:
        bb.fatal("barebox-image: %s has %s below barebox, which runqemu starts for no image in this way; take a machine "
                 "without, such as qemuarm64-barebox" % (d.getVar('MACHINE'), loader['bios']['name']))
    return loader['image']

# An entry of the Boot Loader Specification, which barebox finds without being told of the disk.
barebox_image_entry () {
    install -d ${IMAGE_ROOTFS}/loader/entries
    printf '%s\n' \
        "title ${DISTRO_NAME} ${DISTRO_VERSION}" \
        "linux /boot/${KERNEL_IMAGETYPE}" \
        "options root=/dev/vda rw console=${BAREBOX_IMAGE_CONSOLE} ${BAREBOX_IMAGE_OPTIONS}" \
        > ${IMAGE_ROOTFS}/loader/entries/${MACHINE}.conf
}
ROOTFS_POSTPROCESS_COMMAND += "barebox_image_entry"
