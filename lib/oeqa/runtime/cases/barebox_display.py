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

    def test_bars(self):
        """Bars of the eight colours, from the brightest to black, are of the same width and as high as the display."""
        self.need("CMD_FBTEST", "fbtest")
        colours = [(255 * (not n & 2), 255 * (not n & 4), 255 * (not n & 1)) for n in range(8)]
        for _, node in self.each("display"):
            self.shell(f"{node}.enable=1; fbtest -d /dev/{node} -p bars")
            screen = self.screen()
            width = len(screen[0]) // 8
            expected = [colours[x // width] for x in range(8 * width)]
            for y in (0, len(screen) // 2, len(screen) - 1):
                self.assertEqual(screen[y][: 8 * width], expected, f"line {y}")

    def test_geometry(self):
        """Lines to the corners, and a circle that comes near the edges, are drawn in a colour on its opposite."""
        self.need("CMD_FBTEST", "fbtest")
        for _, node in self.each("display"):
            self.shell(f"{node}.enable=1; fbtest -d /dev/{node} -p geometry -c 12ab00")
            screen = self.screen()
            height, width = len(screen), len(screen[0])
            line, ground = (0x12, 0xAB, 0x00), (0xED, 0x54, 0xFF)
            self.assertEqual({pixel for row in screen for pixel in row}, {line, ground})
            for x, y in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
                self.assertEqual(screen[y][x], line, f"corner {x}, {y}")
            for x, y in ((width // 2, 0), (width // 2, height - 1)) if width > height else ():
                near = {screen[abs(y - dy)][x + dx] for dx in range(-3, 4) for dy in range(1, 4)}
                self.assertIn(line, near, "the circle's end")

    def test_gradient(self):
        """Each of the primary colours, and grey, grows from black along the display's longer side."""
        self.need("CMD_FBTEST", "fbtest")
        for _, node in self.each("display"):
            self.shell(f"{node}.enable=1; fbtest -d /dev/{node} -p gradient")
            screen = self.screen()
            found = {pixel for row in screen for pixel in row}
            for mask in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)):
                shades = {sum(p) // sum(mask) for p in found if p == tuple(m * max(p) for m in mask)}
                self.assertGreater(len(shades), 100, mask)
                self.assertEqual((min(shades), max(shades)), (0, 255), mask)

    def test_refused(self):
        """A pattern, a display and a picture that there are not are refused."""
        self.need("CMD_FBTEST", "fbtest")
        for _, node in self.each("display"):
            for options in (f"-d /dev/{node} -p otter", "-d /dev/nothing -p solid", "-x"):
                self.assertNotEqual(self.attempt(f"fbtest {options}").status, 0, options)
            self.need("CMD_SPLASH", "splash")
            for options in (f"-f /dev/{node} /nothing", f"-f /dev/{node} /env/data/boot-template", f"-f /dev/{node}"):
                self.assertNotEqual(self.attempt(f"splash {options}").status, 0, options)

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
