# SPDX-License-Identifier: MIT
"""What barebox draws is what the display shows."""

import struct

from oeqa.barebox import case

WIDTH, HEIGHT = 8, 3
CELL = 8, 16
"""The width and height of a character."""
PIXELS = [[(x * 30, y * 80, 200 - x * y) for x in range(WIDTH)] for y in range(HEIGHT)]  # red, green, blue


def bitmap():
    """The pixels as a BMP of 24 bits, whose rows begin at the bottom."""
    rows = b"".join(bytes(c for pixel in row for c in reversed(pixel)) for row in reversed(PIXELS))
    head = struct.pack("<2sIHHI", b"BM", 54 + len(rows), 0, 0, 54)
    return head + struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 24, 0, len(rows), 0, 0, 0, 0) + rows


class DisplayTest(case.BootloaderTestCase):
    def screen(self):
        """Rows of pixels."""
        width, height, pixels = self.board.screen()
        self.assertEqual(len(pixels), 3 * width * height)
        rows = [pixels[3 * width * y : 3 * width * (y + 1)] for y in range(height)]
        return [[tuple(row[x : x + 3]) for x in range(0, 3 * width, 3)] for row in rows]

    def test_filled(self):
        """The whole display shows the colour that it is filled with."""
        self.need("CMD_FBTEST", "fbtest")
        for _, node in self.each("display"):
            self.shell(f"{node}.enable=1")
            for colour in (0x123456, 0xFEDCBA, 0x000000):
                self.shell(f"fbtest -d /dev/{node} -p solid -c {colour:06x}")
                found = {pixel for row in self.screen() for pixel in row}
                self.assertEqual(found, {tuple(colour.to_bytes(3, "big"))})

    def test_picture(self):
        """A picture is where it was asked for, pixel by pixel, on a background of its own."""
        self.need("CMD_SPLASH", "splash")
        self.need("BMP")
        share = self.devices("9p")[0]
        (self.board.files.share(share) / "picture.bmp").write_bytes(bitmap())
        for _, node in self.each("display"):
            self.shell(f"{node}.enable=1")
            self.shell(f"splash -f /dev/{node} -x 11 -y 7 -b 0x00405060 {self.board.node(share)}/picture.bmp")
            screen = self.screen()
            self.assertEqual([row[11 : 11 + WIDTH] for row in screen[7 : 7 + HEIGHT]], PIXELS)
            around = [*screen[:7], *screen[7 + HEIGHT :], screen[8][:11], screen[8][11 + WIDTH :]]
            self.assertEqual({pixel for row in around for pixel in row}, {(0x40, 0x50, 0x60)})

    def test_text(self):
        """A character is drawn where the cursor was put, in the last row and column where that is beyond them."""
        self.need("FRAMEBUFFER_CONSOLE")
        for _, node in self.each("display"):
            console = node.replace("fb", "fbconsole")
            self.shell(f"{node}.enable=1")
            for place, cell in (("3;5", (2, 4)), ("999;999", (-1, -1)), ("1;1", (0, 0))):
                self.shell(f'{console}.active=o; echo -n -e "\\e[?25l\\e[2J\\e[{place}HX"; {console}.active=')
                drawn, (rows, columns) = self.cells()
                row, column = cell[0] % rows, cell[1] % columns
                self.assertTrue((row, column) in drawn, f"{place}: nothing is drawn at {row, column}")
                self.assertEqual(len(drawn), 1, f"{place}: something is drawn in other places, too")

    def cells(self):
        """Places of characters in which something is drawn, by row and column, and how many there are of both."""
        screen = self.screen()
        drawn = {
            (y // CELL[1], x // CELL[0]) for y, row in enumerate(screen) for x, pixel in enumerate(row) if any(pixel)
        }
        return drawn, (len(screen) // CELL[1], len(screen[0]) // CELL[0])

    def test_not_a_picture(self):
        """A file that is no picture is an error."""
        self.need("CMD_SPLASH", "splash")
        self.devices("display")
        self.shell("echo -o /text otters swim")
        self.assertNotEqual(self.attempt("splash /text").status, 0)
