#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# The first process of a KVM host. It loads what KVM needs, says "ready" or "fault" on the port "control", and then does
# what comes over that port, line by line: each answer is "done STATUS LENGTH" and the output. A port is a virtio-serial
# port by its name, /dev/virtio-ports/NAME. With host_shell=1 on the kernel's command line there is a shell on the console.

export PATH=/usr/bin LC_ALL=C
/bin/busybox --install -s /usr/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs run /run

while read -r module; do
    insmod "/modules/$module" || echo "kvm-host: the module $module cannot be loaded"
done </modules/order

# Warnings of the kernel, KVM's among them, go to the console, also where it was started with "quiet".
echo 5 >/proc/sys/kernel/printk

[ -z "$host_shell" ] || { echo "A shell in the KVM host; poweroff -f ends it."; exec setsid cttyhack sh; }

# The ports come one after the other.
mkdir /dev/virtio-ports
for port in control files end console guest-qmp; do
    until [ -e "/dev/virtio-ports/$port" ]; do
        for name in /sys/class/virtio-ports/*/name; do
            read -r found <"$name" && ln -sf "/dev/$(basename "${name%/name}")" "/dev/virtio-ports/$found"
        done
        usleep 20000
    done
done
exec 0<>/dev/virtio-ports/control 1>&0

if [ -c /dev/kvm ]; then
    echo "ready $(uname -r)"
else
    echo "fault no /dev/kvm: $(dmesg | grep -i -e kvm -e svm -e hypervisor | tail -n 3 | tr '\n' ' ')"
fi

while IFS= read -r line; do
    output=$(eval "$line" 2>&1 </dev/null)
    printf 'done %d %d\n%s' $? ${#output} "$output"
done
