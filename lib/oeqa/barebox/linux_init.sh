#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# The first process of a Linux that barebox booted: it tells what it sees, each answer after a line "payload: NAME", and
# waits to be switched off.

/bin/busybox mkdir -p /proc /sys
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
# The kernel's own messages are not to come in between.
echo 1 >/proc/sys/kernel/printk

tell() {
    echo "payload: $1"
    shift
    "$@" 2>&1
}

tell release /bin/busybox uname -r
tell machine /bin/busybox uname -m
tell cmdline /bin/busybox cat /proc/cmdline
tell memory /bin/busybox grep MemTotal /proc/meminfo
tell processors /bin/busybox grep -c ^processor /proc/cpuinfo
tell noise /bin/busybox sha256sum /noise
tell tree /bin/busybox hexdump -ve '1/1 "%02x"' /proc/device-tree/otter/swims
echo
tell firmware /bin/busybox ls /sys/firmware
echo "payload: end"
while true; do /bin/busybox sleep 1000; done
