# SPDX-License-Identifier: MIT
# OpenEmbedded-Core's own recipe has no version in its name, so that barebox_%.bbappend does not reach it.
require ${@'barebox-virt.inc' if 'barebox-virt' in d.getVar('MACHINEOVERRIDES').split(':') else ''}
