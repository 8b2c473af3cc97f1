# SPDX-License-Identifier: MIT
"""barebox unpacks what the host packed, whatever is in it and however it was packed, and refuses what was damaged."""

import gzip
import lzma
import random
import zlib

from oeqa.barebox import case, tools

TEXT = b"".join(b"otter %d swims\n" % number for number in range(20_000))
CONTENTS = {
    "bytes": bytes(range(256)),
    "text": TEXT,
    "zeros": bytes(400_001),
    "noise": random.randbytes(150_003),
    "mixed": random.randbytes(70_000) + TEXT[:100_000] + bytes(70_000) + random.randbytes(33),
}


class CompressionTest(case.BootloaderTestCase):
    needs = ("CMD_UNCOMPRESS", "CMD_SHA256SUM")

    def setUp(self):
        super().setUp()
        self.addCleanup(self.attempt, "rm -f /plain")

    def check(self, packed, content, what):
        """What was packed is as before."""
        self.shell(f"rm -f /plain; uncompress {self.shared(packed)} /plain", seconds=60)
        found = self.answer("sha256sum /plain", seconds=60).split()[0]
        size = int(self.answer("ls -l /plain").split()[1])
        self.assertEqual((found, size), (self.hash(content), len(content)), what)

    def refused(self, packed, what):
        """What was damaged is not unpacked."""
        result = self.attempt(f"rm -f /plain; uncompress {self.shared(packed)} /plain", seconds=60)
        self.assertNotEqual(result.status, 0, f"{what}:\n{result}")

    def check_program(self, program, *ways):
        """Each content, packed by a program, each way with one of them."""
        contents = list(CONTENTS.items())
        for number, (name, content) in enumerate(contents):
            way = ways[number % len(ways)]
            self.check(tools.data(program, way.split(), content), content, f"{name} by {program} {way}")
        for way in ways:
            name, content = random.choice(contents[1:])
            self.check(tools.data(program, way.split(), content), content, f"{name} by {program} {way}")

    def test_gzip(self):
        """gzip: each level, stored as it is, with and without a name; not with a wrong code, or cut off."""
        self.need("ZLIB")
        for number, (name, content) in enumerate(CONTENTS.items()):
            self.check(gzip.compress(content, (0, 1, 6, 9, 0)[number]), content, name)
        packed = zlib.compress(TEXT, 9)[2:-4]
        tail = zlib.crc32(TEXT).to_bytes(4, "little") + len(TEXT).to_bytes(4, "little")
        head = b"\x1f\x8b\x08%c\0\0\0\0\2\3"
        fields = {0: b"", 1: b"", 8: b"otter.text\0", 1 | 8: b"ascii\0"}
        for flags, more in fields.items():
            self.check(head % flags + more + packed + tail, TEXT, f"flags {flags}")
        self.refused(head % 0 + packed[:40] + bytes([packed[40] ^ 0xFF]) + packed[41:] + tail, "a wrong code")
        self.refused(head % 0 + packed[: len(packed) // 2], "half of it")
        self.refused(b"\x1f\x8b\7" + (head % 0)[3:] + packed + tail, "another method")

    def test_lz4(self):
        """lz4 of old, quick and thorough, of several kinds of contents; not with a piece missing."""
        self.need("LZ4_DECOMPRESS")
        self.check_program("lz4", "-l -c -1", "-l -c -9")
        packed = tools.data("lz4", ["-l", "-c"], TEXT)
        self.refused(packed[: len(packed) // 3], "a third of it")

    def test_lzo(self):
        """lzo in pieces of 256 KiB, quick and thorough; not with a piece missing."""
        self.need("LZO_DECOMPRESS")
        self.check_program("lzop", "-c -1", "-c -9")
        content = TEXT * 2
        packed = tools.data("lzop", ["-c"], content)
        self.check(packed, content, "three pieces")
        self.refused(packed[: len(packed) // 3], "a third of it")

    def test_xz(self):
        """xz of each level, in several blocks, with or without a sum; not with a wrong bit in it."""
        self.need("XZ_DECOMPRESS")
        for number, (name, content) in enumerate(CONTENTS.items()):
            check = (lzma.CHECK_CRC32, lzma.CHECK_NONE)[number % 2]
            self.check(lzma.compress(content, check=check, preset=(0, 6, 1)[number % 3]), content, name)
        self.check(tools.data("xz", ["-c", "--check=crc32", "--block-size=65536"], TEXT), TEXT, "several blocks")
        packed = bytearray(lzma.compress(TEXT, check=lzma.CHECK_CRC32))
        packed[len(packed) // 2] ^= 0x10
        self.refused(packed, "a wrong bit")

    def test_zstd(self):
        """zstd of several levels, with and without a sum, and of several frames; not with a piece missing."""
        self.need("ZSTD_DECOMPRESS")
        self.check_program("zstd", "-q -c -1", "-q -c -12", "-q -c --no-check")
        packed = tools.data("zstd", ["-q", "-c"], TEXT)
        self.refused(packed[: len(packed) // 3], "a third of it")
