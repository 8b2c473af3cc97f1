# SPDX-License-Identifier: MIT
# Nothing here touches another machine than those of barebox-virt.
require ${@'barebox-virt.inc' if 'barebox-virt' in d.getVar('MACHINEOVERRIDES').split(':') else ''}
