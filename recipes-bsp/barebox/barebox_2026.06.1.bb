# SPDX-License-Identifier: MIT
require barebox.inc

SRC_URI = "https://barebox.org/download/barebox-${PV}.tar.bz2"
SRC_URI[sha256sum] = "8752b3752819ec4aaf848a1d06df05242a64954525fb15b6cf07b3c3dd7ebd7f"

BAREBOX_PATCHES = " \
    file://0001-virtio-ring-count-scatterlist-entries-not-lists.patch \
    file://0002-dma-of_fixups-do-not-fail-without-a-device-tree.patch \
    file://0003-partitions-do-not-report-a-drive-without-a-medium-as.patch \
    file://0004-pci-let-devices-inherit-DMA-coherency-from-their-hos.patch \
    file://0005-RISC-V-board-dt-2nd-do-not-place-early-stack-below-t.patch \
    file://0006-commands-memcpy-fail-when-reading-or-writing-fails.patch \
    file://0007-hush-let-and-go-on-after-a-skipped-command.patch \
    file://0008-fs-ramfs-clear-what-a-file-is-shortened-by.patch \
    file://0009-virtio-blk-refuse-to-write-to-a-read-only-device.patch \
    file://0010-fs-drop-the-references-of-what-fails-to-open-and-of-.patch \
    file://0011-mtd-cfi_flash-intel-send-buffer-write-commands-to-th.patch \
    file://0012-param-let-a-bitmask-take-away-what-it-had.patch \
    file://0013-bootchooser-let-bootchooser-s-take-effect-at-once.patch \
    file://0014-environment-keep-what-was-saved-when-NV-variables-ar.patch \
    file://0015-commands-of_node-delete-from-the-tree-that-is-fixed-.patch \
    file://0016-state-circular-do-not-take-an-interrupted-write-for-.patch \
    file://0017-watchdog-itco-read-the-whole-register-when-the-timer.patch \
    file://0018-commands-memcpy-fail-when-interrupted.patch \
    file://0019-block-report-at-close-that-what-was-written-is-lost.patch \
    file://0020-commands-echo-fail-when-the-file-cannot-be-written.patch \
    file://0022-memtest-test-the-last-word-of-a-region-too.patch \
    file://0023-fs-ramfs-set-the-size-of-symbolic-links.patch \
    file://0027-booti-place-the-initrd-behind-the-memory-that-Linux-.patch \
    file://0028-crypto-hmac-take-keys-that-are-longer-than-a-block.patch \
    file://0029-block-discard-no-more-than-what-was-asked-for.patch \
    file://0030-mtd-cfi_flash-program-a-single-word-by-itself.patch \
    file://0031-commands-menu-do-not-fail-where-all-went-well.patch \
    file://0032-devfs-keep-the-flags-of-a-partition-that-is-no-MTD-s.patch \
    file://0033-lib-zstd-fail-where-the-data-end-too-early.patch \
    file://0034-efi-payload-bring-up-the-network-without-drivers-of-.patch \
    file://0035-RISC-V-leave-the-other-harts-to-a-kernel-that-can-st.patch \
    file://0036-fs-nfs-fail-where-a-file-is-not-there.patch \
    file://0037-memory-reserve-the-end-of-a-region-that-is-not-page-.patch \
    file://0038-fs-keep-the-size-of-a-file-that-cannot-be-truncated.patch \
    file://0039-clocksource-efi-x86-measure-the-TSC-s-frequency-more.patch \
    file://0040-PCI-of-don-t-replace-a-range-of-32-bits-by-one-of-64.patch \
    file://0041-bootargs-don-t-free-the-same-arguments-twice.patch \
    file://0042-include-dps-have-the-GUIDs-in-the-order-of-a-partiti.patch \
    file://0043-commands-truncate-be-silent-of-a-missing-file-with-c.patch \
    file://0044-commands-readf-fail-for-what-cannot-be-read.patch \
    file://0045-libfile-copy_recursive-hand-on-the-flags.patch \
    file://0046-net-dhcp-have-the-interface-up-before-a-server-s-nam.patch \
    file://0047-net-dhcp-step-over-pad-options-and-stop-at-the-packe.patch \
    file://0048-net-virtio-compare-all-of-a-hardware-address.patch \
    file://0049-fs-fat-have-names-of-254-and-255-letters.patch \
    file://0050-fs-fat-free-the-cluster-of-a-folder-that-cannot-be-r.patch \
    file://0051-net-ping-take-an-echo-reply-alone-for-the-answer.patch \
    file://0052-net-dns-understand-names-that-are-compressed-in-part.patch \
    file://0053-commands-blkstats-be-done-once-l-has-listed-the-devi.patch \
    file://0054-net-virtio-tell-the-device-of-buffers-that-are-its-o.patch \
    file://0055-fs-tftp-fail-where-the-server-breaks-an-upload-off.patch \
    file://0056-net-dhcp-ask-without-the-address-of-the-former-lease.patch \
    file://0057-restart-look-for-a-handler-by-its-name-where-it-has-.patch \
    file://0058-blspec-boot-entries-whose-device-tree-is-none.patch \
    file://0059-blspec-compare-entries-of-one-version-by-their-file-.patch \
"
