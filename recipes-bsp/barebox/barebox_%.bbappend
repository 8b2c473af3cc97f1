# SPDX-License-Identifier: MIT
#
# Configuration and tests of barebox on the machines of barebox-virt, whichever recipe was chosen. Nothing here touches
# another machine.
FILESEXTRAPATHS:prepend:barebox-virt := "${THISDIR}/files:"

BAREBOX_VIRT_FRAGMENTS[doc] = "Kconfig fragments that are merged into BAREBOX_CONFIG on the machines of barebox-virt, \
one a purpose."
BAREBOX_VIRT_FRAGMENTS ?= "network 9p digest filesystems serial-console virtio virtio-pci inspect"
BAREBOX_VIRT_FRAGMENTS:append:aarch64 = " virtio-mmio fw-cfg arm64"
BAREBOX_VIRT_FRAGMENTS:append:riscv64 = " virtio-mmio fw-cfg"

BAREBOX_VIRT_PATCHES[doc] = "1, the default: barebox gets the patches that this layer has for its release \
(BAREBOX_PATCHES). 0: upstream's own state; what the patches mend is a known issue then."
BAREBOX_VIRT_PATCHES ?= "1"

BAREBOX_PATCHES[doc] = "Patches of barebox-virt for the recipe's release, as file:// entries; a recipe sets it."
BAREBOX_PATCHES ??= ""

SRC_URI:append:barebox-virt = " ${@' '.join('file://%s.cfg' % f for f in d.getVar('BAREBOX_VIRT_FRAGMENTS').split())}"
SRC_URI:append:barebox-virt = " ${@d.getVar('BAREBOX_PATCHES') if d.getVar('BAREBOX_VIRT_PATCHES') == '1' else ''}"

inherit ${@'barebox-testimage' if 'barebox-virt' in d.getVar('MACHINEOVERRIDES').split(':') else ''}
