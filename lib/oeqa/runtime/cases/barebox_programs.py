# SPDX-License-Identifier: MIT
"""barebox starts programs by go, and where one of them fails, or barebox itself, tells what went wrong and where."""

import re

from oeqa.barebox import payload
from oeqa.barebox.ram import RamCase

NUMBERS = 0x1122334455667788, 0xFEDCBA9876543210, 3, 4


class ProgramCase(RamCase):
    needs = ("CMD_GO", "CMD_MEMCPY")

    def setUp(self):
        super().setUp()
        arch = payload.check(self.board.machine.arch)
        self.program = payload.image(arch, 1 << 16)
        self.place = self.free()[0] + 4 * 1234
        self.names = payload.REGISTERS[arch]

    def load(self):
        """Have the program in memory."""
        self.shell(f"memcpy -s {self.shared(self.program)} -d /dev/mem 0 {self.place:#x} {len(self.program):#x}")

    def started(self, command):
        """A time in which the program runs, and what it found in its registers: a text and numbers by their names."""
        return self.board.handed_over(command, payload.LINE)

    def registers(self, text):
        return payload.registers(self.board.machine.arch, text)


class GoTest(ProgramCase):
    def test_numbers(self):
        """Up to four numbers arrive in the first registers."""
        self.load()
        with self.started(f"go -i {self.place:#x} " + " ".join(map(hex, NUMBERS))) as text:
            found = self.registers(text)
        told = [found[name] for name in self.names if name in ("hart", "dtb", "x1", "x2", "x3")]
        self.assertEqual((found["start"], told), (self.place, list(NUMBERS[: len(told)])))

    def test_words(self):
        """By default, the number of words and the words themselves arrive as a C program's do."""
        self.load()
        with self.started(f"go {self.place:#x} otter 'swims fast'") as text:
            found = self.registers(text)
            count, vector = [found[name] for name in self.names][:2]
            self.assertEqual(count, 3)
            words = self.board.memory(vector, 8 * count)
            starts = [int.from_bytes(words[i : i + 8], "little") for i in range(0, len(words), 8)]
            told = [self.board.memory(start, 16).partition(b"\0")[0] for start in starts]
        self.assertEqual(told, [f"{self.place:#x}".encode(), b"otter", b"swims fast"])

    def test_file(self):
        """A program is started from a file, where caches and interrupts are as a program may expect them."""
        self.shell(f"cp {self.shared(self.program)} /program")
        with self.started("go -i /program 7") as text:
            found = self.registers(text)
            memory = self.board.memory(found["start"], len(self.program))
        self.assertEqual(self.hash(memory), self.hash(self.program))
        if "SCTLR" in found:
            self.assertEqual(found["SCTLR"] & payload.SCTLR_MMU_DATA_CACHE, 0, "MMU or data cache are on")
            self.assertEqual(found["DAIF"] & 0x3C0, 0x3C0, "interrupts are not masked")

    def test_refused(self):
        """No program, one that is not there, too many numbers and what is no number start nothing."""
        for words in ("", "/nowhere", f"-i {self.place:#x} 1 2 3 4 5"):
            result = self.attempt(f"go {words}")
            self.assertNotEqual(result.status, 0, str(result))
            self.assertNotIn("Starting application", "\n".join(result.lines))
        result = self.attempt(f"go -i {self.place:#x} 1 otter")
        self.assertIn('"otter"', "\n".join(result.lines))
        self.assertNotEqual(result.status, 0, str(result))


class PanicTest(ProgramCase):
    """What is printed before barebox gives up, and that it starts anew where it is configured to."""

    def panic(self, command):
        """What a command that ends in a panic prints, after which barebox starts anew, or hangs."""
        if "PANIC_RESET" in (self.board.symbols or ()):
            return self.board.reset(command, panics=True).text
        return self.board.cut(command, seconds=3)

    def test_instruction(self):
        """An instruction that no processor knows: its address, the registers, and the functions that led there."""
        self.shell(f"mw -l {self.place:#x} 0 0")
        text = self.panic(f"go -i {self.place:#x} 0x5eed")
        self.assertRegex(text, r"Unknown/Uncategorized|Illegal instruction")
        self.assertRegex(text, rf"(?i)\b(elr: |E \[<){self.place:016x}\b")
        self.assertRegex(text, r"(?i)\b(x0 ?|a0): +0{12}5eed\b")
        self.check_trace(text)

    def test_null(self):
        """A null pointer is called one, and its address is told."""
        self.need("MMU")
        self.need("CMD_SHA256SUM", "sha256sum")
        text = self.panic("sha256sum 0+64")
        self.assertRegex(text, r"NULL pointer dereference at address 0x0{16}\b")
        self.assertRegex(text, r"DABT|data abort|Data Abort")
        self.check_trace(text)

    def check_trace(self, text):
        self.need("KALLSYMS")
        trace = re.findall(r"from \[<\w+>\] \((\w+)\+", text.partition("Call trace:")[2])
        self.assertIn("execute_command", trace, text)
        self.assertLess(trace.index("execute_command"), trace.index("run_shell"), text)
