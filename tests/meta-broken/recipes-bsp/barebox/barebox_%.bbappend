# SPDX-License-Identifier: MIT
FILESEXTRAPATHS:prepend := "${THISDIR}/files:"

SRC_URI += "file://0001-virtio_blk-return-one-wrong-bit.patch"
