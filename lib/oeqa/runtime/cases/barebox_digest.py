# SPDX-License-Identifier: MIT
"""barebox computes digests by each of its drivers, with and without a key, and takes no wrong one for right."""

import hashlib
import hmac
import re

from oeqa.barebox import case

TEXT = "otters swim, beavers build, and the river runs on " * 6
CONTENT = f"{TEXT}\n".encode()


class DigestTest(case.BootloaderTestCase):
    def setUp(self):
        super().setUp()
        self.need("CMD_DIGEST", "digest")
        self.shell(f"echo -o /text '{TEXT}'")

    def drivers(self, keyed=False):
        """Each driver that barebox lists, with hashlib's name of its algorithm."""
        listed = re.findall(r"(?m)^\s+(hmac\()?(\w+)\)?\s+(\S+)\s+\d+$", "\n".join(self.attempt("digest").lines))
        found = [
            (driver, name)
            for mac, name, driver in listed
            if bool(mac) == keyed and name in hashlib.algorithms_available
        ]
        if not found:
            self.skipTest(f"barebox lists none: {listed}")
        return found

    def check(self, command, right):
        """``command`` takes the right value, and none that differs in a bit of its first, a middle or its last byte."""
        self.shell(f"{command} -s {right.hex()} /text")
        for place in (0, len(right) // 2, len(right) - 1):
            wrong = bytearray(right)
            wrong[place] ^= 1
            result = self.attempt(f"{command} -s {wrong.hex()} /text")
            self.assertNotEqual(result.status, 0, f"byte {place} is wrong:\n{result}")

    def test_values(self):
        """Each driver computes what the test computes itself, over a whole file and over a part of it."""
        for driver, name in self.drivers():
            for start, size in ((0, len(CONTENT)), (7, 150), (64, 64), (9, 55), (9, 56), (9, 57), (9, 63), (9, 120)):
                found = self.answer(f"digest -a {driver} /text {start}+{size}").split()[0]
                self.assertEqual(found, self.hash(CONTENT[start : start + size], name), f"{driver} {start}+{size}")

    def test_verified(self):
        """A file is compared with the whole of a digest."""
        for driver, name in self.drivers():
            self.check(f"digest -a {driver}", bytes.fromhex(self.hash(CONTENT, name)))

    def test_sum_file(self):
        """A file is compared with the sum that sha256sum left in a file, with the name behind it."""
        right = self.hash(CONTENT, "sha256")
        for value, status in ((right, 0), (f"{right[:-1]}{int(right[-1], 16) ^ 1:x}", 1)):
            self.shell(f"echo -o /sum '{value}  text'")
            result = self.attempt("digest -a sha256 -S /sum /text")
            self.assertEqual(result.status != 0, status != 0, str(result))

    def test_keyed(self):
        """A digest depends on its key, one that is longer than the digest's block too."""
        for driver, name in self.drivers(keyed=True):
            for key in ("river", "x" * 64, "x" * 200):
                self.check(f"digest -a '{driver}' -k {key}", hmac.new(key.encode(), CONTENT, name).digest())
            self.assertNotEqual(self.attempt(f"digest -a '{driver}' /text").status, 0, "without a key")

    def test_unknown(self):
        """An algorithm that there is not, and a file that there is not, are errors."""
        self.assertNotEqual(self.attempt("digest -a otter256 /text").status, 0)
        self.assertNotEqual(self.attempt("digest -a sha256 /nothing").status, 0)

    def test_key_file(self):
        """A key is read from a file, whatever its bytes; one that is not there is an error."""
        for driver, name in self.drivers(keyed=True):
            for key in (b"river", bytes(range(1, 256)), b"\0\1\n"):
                path = self.shared(key)
                found = self.answer(f"digest -a '{driver}' -K {path} /text").split()[0]
                self.assertEqual(found, hmac.new(key, CONTENT, name).hexdigest(), f"{driver} {len(key)}")
            self.assertNotEqual(self.attempt(f"digest -a '{driver}' -K /nothing /text").status, 0)

    def test_wrong_size(self):
        """A sum of another size than the digest's, and a file with a sum that there is not, are errors."""
        right = self.hash(CONTENT, "sha256")
        self.shell(f"echo -n -o /sum {right[:-2]}")
        for option in ("-S /sum", f"-s {right[:-2]}", "-S /nothing", "-s otter"):
            result = self.attempt(f"digest -a sha256 {option} /text")
            self.assertNotEqual(result.status, 0, str(result))
            self.assertRegex(
                "\n".join(result.lines), "not found" if "nothing" in option else "wrong size .*, expected 32"
            )
        self.shell(f"digest -a sha256 -s {right} /text")
