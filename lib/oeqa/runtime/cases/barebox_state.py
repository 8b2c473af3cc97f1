# SPDX-License-Identifier: MIT
"""barebox keeps its state redundantly, over damage and power failures."""

import random
import zlib

from oeqa.barebox import case
from oeqa.barebox.cuts import CutCase
from oeqa.barebox.state import copies
from oeqa.barebox.variant import Variant

# The state node of barebox' common/boards/qemu-virt/qemu-virt-flash.dtsi.
MAGIC = 0x290CF8C6.to_bytes(4, "little")
PARTITION = "/dev/nor0.barebox-state"
PRIORITY = "state.bootstate.system0.priority"
DATA, PRIORITY_OFFSET = 16, 4
BLOCK = 1 << 18
DEFAULT = 20
COPIES = 3


class StateCase(case.BootloaderTestCase):
    variant = Variant(flash=True)
    needs = ("STATE", "CMD_STATE", "DRIVER_CFI")

    def setUp(self):
        super().setUp()
        self.value = random.randrange(1000, 1 << 31)

    def set(self, value):
        self.shell(f"{PRIORITY}={value}; state -s")

    def get(self):
        return int(self.answer(f"echo ${PRIORITY}"))

    def newest(self):
        """The newest copy in each erase block of the flash: its place and the value in it."""
        content = self.board.files.flash().read_bytes()
        blocks = {place // BLOCK: place for place in sorted(copies(content, MAGIC))}
        data = copies(content, MAGIC)
        values = {p: int.from_bytes(data[p][PRIORITY_OFFSET : PRIORITY_OFFSET + 4], "little") for p in blocks.values()}
        return content, values

    def damage(self, places, offset=DATA + PRIORITY_OFFSET):
        """Change one bit of the priority of each copy at ``places``, or of the four bytes at another offset."""
        content = bytearray(self.board.files.flash().read_bytes())
        for place in places:
            content[place + offset + random.randrange(4)] ^= 1 << random.randrange(8)
        self.board.files.flash().write_bytes(content)


class StateTest(StateCase):
    def test_over_reset(self):
        """A saved value is there after a reset."""
        self.set(self.value)
        self.board.reset()
        self.assertEqual(self.get(), self.value)

    def test_over_power_loss(self):
        """A saved value is there after the power failed."""
        self.set(self.value)
        self.board.cut()
        self.assertEqual(self.get(), self.value)

    def test_unsaved(self):
        """A value that was not saved is gone after the power failed, and is back when the state is loaded again."""
        self.set(self.value)
        self.shell(f"{PRIORITY}={self.value + 1}; state -l")
        self.assertEqual(self.get(), self.value)
        self.shell(f"{PRIORITY}={self.value + 1}")
        self.board.cut()
        self.assertEqual(self.get(), self.value)

    def test_saved_by_reset(self):
        """A changed value is saved by the reset itself."""
        self.shell(f"{PRIORITY}={self.value}")
        self.board.reset()
        self.assertEqual(self.get(), self.value)

    def test_dropped_by_forced_reset(self):
        """A reset that is forced saves nothing."""
        self.set(self.value)
        self.shell(f"{PRIORITY}={self.value + 1}")
        self.board.reset("reset -f")
        self.assertEqual(self.get(), self.value)

    def test_many(self):
        """Of many values saved one after the other, the last one counts."""
        for number in range(40):
            self.set(self.value + number)
        self.board.cut()
        self.assertEqual(self.get(), self.value + 39)

    def test_all_variables(self):
        """Every variable keeps its own value."""
        names = [f"bootstate.system{n}.{v}" for n in (0, 1) for v in ("priority", "remaining_attempts")]
        names += ["bootstate.last_chosen", "bootstate.attempts_locked"]
        values = {name: random.randrange(1 << 32) for name in names}
        self.shell("; ".join(f"state.{name}={value}" for name, value in values.items()) + "; state -s")
        self.board.cut()
        found = {name: int(self.answer(f"echo $state.{name}")) for name in names}
        self.assertEqual(found, values)


class RedundancyTest(StateCase):
    def test_copies_on_flash(self):
        """There are three valid copies with the value, by the format's own description and sums."""
        self.set(self.value)
        self.board.cut()
        self.assertEqual(list(self.newest()[1].values()), [self.value] * COPIES)

    def test_one_is_enough(self):
        """The value is found from each copy alone, while the others' data are damaged; and then all are repaired."""
        self.check_each_alone(DATA + PRIORITY_OFFSET)

    def test_header(self):
        """The same where the others' headers are damaged, in their sum."""
        self.check_each_alone(12)

    def check_each_alone(self, offset):
        for kept in range(COPIES):
            self.set(self.value + kept)
            self.board.cut()
            places = sorted(self.newest()[1])
            self.damage([place for number, place in enumerate(places) if number != kept], offset)
            self.assertEqual(self.get(), self.value + kept, f"copy {kept} alone")
            self.board.cut()
            values = list(self.newest()[1].values())
            self.assertEqual(values, [self.value + kept] * COPIES, f"not repaired from copy {kept}")

    def test_foreign(self):
        """Copies with right sums and another board's magic number are refused, and the defaults are used."""
        self.set(self.value)
        self.board.cut()
        content = bytearray(self.board.files.flash().read_bytes())
        for place in copies(bytes(content), MAGIC):
            content[place] ^= 1
            content[place + 12 : place + 16] = zlib.crc32(content[place : place + 12]).to_bytes(4, "little")
        self.board.files.flash().write_bytes(content)
        self.assertEqual(self.get(), DEFAULT)

    def test_none_is_left(self):
        """Where all copies are damaged, that is said, the defaults are used, and the state can be saved again."""
        self.set(self.value)
        self.board.cut()
        content = bytearray(self.board.files.flash().read_bytes())
        for place in copies(bytes(content), MAGIC):
            content[place + 16] ^= 1
        self.board.files.flash().write_bytes(content)
        self.assertEqual(self.get(), DEFAULT)
        self.assertIn("no valid state copy", self.board.boots[-1].text)
        self.set(self.value)
        self.board.cut()
        self.assertEqual(self.get(), self.value)


class WrapTest(StateCase):
    """The blocks of the flash are full, so that they have to be erased."""

    def fill(self, room):
        """Repeat the newest copy of each block until less than ``room`` copies fit behind it."""
        content = bytearray(self.board.files.flash().read_bytes())
        for place in self.newest()[1]:
            first, last = place // BLOCK * BLOCK, (place // BLOCK + 1) * BLOCK
            size = len(content[place:last].rstrip(b"\xff"))
            copy = bytes(content[place : place + size])
            for start in range(place, last - room * size, size):
                content[start : start + size] = copy
            self.assertEqual((place - first) % size, 0, "the copies in a block are not of one size")
        self.board.files.flash().write_bytes(content)

    def test_full(self):
        """Values that are saved over the end of a full block are found, in three copies."""
        self.set(self.value)
        self.board.cut()
        self.fill(room=3)
        for number in range(1, 7):
            self.assertEqual(self.get(), self.value + number - 1)
            self.set(self.value + number)
            self.board.cut()
            self.assertEqual(list(self.newest()[1].values()), [self.value + number] * COPIES, f"save {number}")


class TornWriteTest(StateCase):
    needs = (*StateCase.needs, "CMD_FLASH")

    def test_beginning_alone(self):
        """Where the power failed at the beginning of a write, the value before it is found, and no older one."""
        # The first erase block has values older than the last one, whatever was saved before.
        self.shell(f"erase {PARTITION}")
        self.board.cut()
        for number in range(4):
            self.set(self.value + number)
        self.board.cut()
        content = bytearray(self.board.files.flash().read_bytes())
        places = sorted(copies(bytes(content), MAGIC))
        first = [place for place in places if place // BLOCK == places[0] // BLOCK]
        place = 2 * first[-1] - first[-2]
        content[place : place + 8] = content[first[-1] : first[-1] + 8]
        self.board.files.flash().write_bytes(content)
        self.assertEqual(self.get(), self.value + 3)
        self.board.cut()
        self.assertEqual(list(self.newest()[1].values()), [self.value + 3] * COPIES)


class PowerCutTest(StateCase, CutCase):
    """The power fails while the state is written, at random moments."""

    cuts = 6

    def test_old_or_new(self):
        """After the power failed in a row of writes, the value is the last reported as saved, or a newer one."""
        self.check_cuts(self.cuts, PRIORITY, "state -s", shortest=0.02)


class ManyPowerCutsTest(PowerCutTest):
    slow = True
    cuts = 200
