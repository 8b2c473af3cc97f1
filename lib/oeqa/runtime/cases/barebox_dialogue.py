# SPDX-License-Identifier: MIT
"""barebox asks a person: for a line, a password, a choice of a menu, a text."""

import re

from oeqa.barebox.console import CTRL_C
from oeqa.barebox.keyboard import KeyboardCase

CTRL_D, BACKSPACE = "\x04", "\x08"


class ReadlineTest(KeyboardCase):
    needs = ("CMD_READLINE",)

    def test_line(self):
        """readline asks with its prompt, and what is typed is the variable's."""
        self.press("readline 'your animal: ' animal\r")
        self.see("^your animal: ")
        self.press(f"bea{BACKSPACE}{BACKSPACE}{BACKSPACE}otter and heron\r")
        self.prompt()
        self.assertEqual(self.answer('echo "[$animal]"'), "[otter and heron]")

    def test_interrupted(self):
        """Ctrl-C ends the question, by its status, and leaves the variable alone."""
        self.shell("animal=heron")
        self.press("readline 'your animal: ' animal; echo status $?\r")
        self.see("^your animal: ")
        self.press(f"otter{CTRL_C}")
        self.assertNotIn("status 0", self.prompt())
        self.assertEqual(self.answer("echo $animal"), "heron")


class PasswordTest(KeyboardCase):
    needs = ("CMD_PASSWD", "CMD_LOGIN")

    def setUp(self):
        super().setUp()
        self.board.discard()  # whoever is logged in is not asked again
        self.addCleanup(self.board.discard)

    def choose(self, first, second):
        self.press("passwd; echo status $?\r")
        self.see("Enter new password: ")
        self.press(f"{first}\r")
        self.see("Retype new password: ", seconds=60)
        self.press(f"{second}\r")
        return self.prompt(60)

    def login(self, *attempts):
        self.press("login; echo logged in\r")
        for word in attempts:
            self.see("Password: ", seconds=60)
            self.press(f"{word}\r")

    def test_login(self):
        """login goes on after the password that was set, and after no other one."""
        self.assertIn("status 0", self.choose("otter-7", "otter-7"))
        self.login("otter-8", "otter-", "otter-77", "", "Otter-7", "otter-7")
        self.assertEqual(self.prompt(60).count("logged in"), 1)

    def test_not_shown(self):
        """A password is not shown, and is not kept as it is."""
        self.assertNotIn("otter-7", self.choose("otter-7", "otter-7"))
        self.assertNotIn("otter-7", "\n".join(self.shell("cat /env/etc/passwd")))

    def test_salted(self):
        """The same password is kept in another way each time, by a salt that is random in each of its words."""
        found = []
        for _ in range(2):
            self.choose("otter-7", "otter-7")
            found.append(self.answer("cat /env/etc/passwd"))
            self.assertNotRegex(found[-1], r"(..)\1{3}")
        self.assertNotEqual(*found)

    def test_not_the_same(self):
        """A password that was not typed twice is not taken."""
        self.choose("otter-7", "otter-7")
        self.assertIn("do not match", self.choose("heron-1", "heron-2"))
        self.login("heron-1", "heron-2", "otter-7")
        self.assertIn("logged in", self.prompt(60))

    def test_time(self):
        """Where no password is typed in time, a command runs, and the question comes again."""
        self.choose("otter-7", "otter-7")
        self.shell("global.login.timeout=1; global.login.fail_command='global.login.timeout=60; echo ran out'")
        self.press("login; echo logged in\r")
        self.see("Password: ")
        self.press("heron")
        self.see(r"ran out\r?\n")
        self.see("Password: ")
        self.press("otter-7\r")
        self.assertIn("logged in", self.prompt(60))

    def test_once(self):
        """Who is logged in is not asked again."""
        self.choose("otter-7", "otter-7")
        self.login("otter-7")
        self.prompt(60)
        self.assertEqual(self.answer("login; echo logged in"), "logged in")

    def test_none(self):
        """Without a password login does not ask; and an empty one takes it away."""
        self.assertEqual(self.answer("login; echo logged in"), "logged in")
        self.choose("otter-7", "otter-7")
        self.choose("", "")
        self.assertEqual(self.answer("login; echo logged in"), "logged in")


class EditorTest(KeyboardCase):
    needs = ("CMD_EDIT",)

    def edit(self, command, keys):
        """An editor, with keys that end it."""
        self.press(f"{command} /text\r")
        self.see("~")  # what stands in place of lines behind the text's end
        self.press(keys)
        self.prompt()

    def test_typed(self):
        """What is typed, split and taken away is in the file once it is saved."""
        self.shell("echo -o /text one; echo -a /text two")
        self.edit("edit", f"zero\rX{BACKSPACE}half-\r{BACKSPACE}{CTRL_D}")
        self.assertEqual(self.shell("cat /text"), ["zero", "half-one", "two"])

    def test_moved(self):
        """The keys of vi move over the text, add lines, take characters away, and save."""
        self.shell("echo -o /text one; echo -a /text two; echo -a /text three")
        self.edit("vi", f"jAX{CTRL_C}j0lxohalf{CTRL_C}kk0iY{CTRL_C}ZZ")
        self.assertEqual(self.shell("cat /text"), ["one", "YtwoX", "tree", "half"])

    def test_dropped(self):
        """What was typed is dropped by Ctrl-C."""
        self.shell("echo -o /text one")
        self.edit("edit", f"heron{CTRL_C}")
        self.assertEqual(self.shell("cat /text"), ["one"])

    def test_new(self):
        """A file that is not there is made."""
        self.shell("rm -f /text")
        self.edit("edit", f"heron{CTRL_D}")
        self.assertEqual(self.shell("cat /text"), ["heron"])

    def edited(self, text, keys, command="vi"):
        """The lines of a text after keys in an editor."""
        self.addCleanup(self.attempt, "rm -f /text")
        self.shell(f"cp {self.shared(text.encode())} /text")
        self.press(f"{command} /text\r")
        self.see("/text +")  # in the line that tells the file
        self.see(re.escape(text.split("\n")[0][:20]))
        self.press(keys)
        self.prompt()
        name = f"edited-{len(text)}"
        share = self.devices("9p")[0]
        self.shell(f"cp /text {self.board.node(share)}/{name}")
        return (self.board.files.share(share) / name).read_text().split("\n")[:-1]

    def test_tabs(self):
        """A tab reaches to the next eighth column, and the cursor keeps its column from line to line."""
        right = 9 * "l"
        text = "abcdefghijkl\n\txyz\nab\tcd\n\t\tq\n"
        self.assertEqual(self.edited(text, f"{right}jiX{CTRL_C}ZZ")[1], "\txXyz")
        self.assertEqual(self.edited(text, f"{right}jjiX{CTRL_C}ZZ")[2], "ab\tcXd")
        self.assertEqual(self.edited(text, f"{right}jjjiX{CTRL_C}ZZ")[3], "\tX\tq")

    def test_long_lines(self):
        """A line that is longer than the screen is shown from where the cursor is, and grows and shrinks anywhere."""
        line = "".join(f"{number:03}-" for number in range(50))
        self.assertEqual(self.edited(f"{line}\nshort\n", f"$iEND{CTRL_C}0iHOME{CTRL_C}ZZ"), [f"HOME{line}END", "short"])
        self.assertEqual(
            self.edited(f"{line}\nshort\n", f"${'h' * 100}xxXiY{CTRL_C}ZZ")[0], f"{line[:99]}Y{line[102:]}"
        )
        self.press("vi /text\r")
        self.see("/text +")
        self.press("$")
        self.see(f"{line[150:199]}")
        self.press("ZQ")
        self.prompt()
        grown = "river " * 30
        self.assertEqual(self.edited("one\ntwo\n", f"ji{grown}{CTRL_C}ZZ"), ["one", f"{grown}two"])

    def test_joined(self):
        """Lines are joined where the line's end is taken away, from either side, but not the first and the last."""
        self.assertEqual(self.edited("one\ntwo\nthree\n", "$xZZ"), ["onetwo", "three"])
        self.assertEqual(self.edited("one\ntwo\nthree\n", "jjXZZ"), ["one", "twothree"])
        self.assertEqual(self.edited("one\ntwo\n", "XXjj$xxZZ"), ["one", "two"])

    def test_far(self):
        """G goes to the end, gg to the beginning, Ctrl-D and Ctrl-U a page on and back, past no end of the text."""
        lines = [f"line {number:03}" for number in range(60)]
        text = "\n".join(lines) + "\n"
        found = self.edited(text, f"GiL{CTRL_C}ggiF{CTRL_C}ZZ")
        self.assertEqual([n for n, line in enumerate(found) if line not in lines], [0, 59])
        found = self.edited(text, f"\x04\x04\x15iA{CTRL_C}\x15\x15iB{CTRL_C}ZZ")
        changed = [n for n, line in enumerate(found) if line not in lines]
        self.assertEqual(changed[0], 0)
        self.assertIn(changed[1], range(15, 59))

    def test_scrolled(self):
        """Behind the end of the screen, the text moves up line by line, and down again, in each of the editors."""
        lines = [f"line {number:03}" for number in range(60)]
        self.addCleanup(self.attempt, "rm /text")
        self.shell(f"cp {self.shared(chr(10).join(lines).encode() + bytes([10]))} /text")
        for command in ("edit", "sedit"):
            self.press(f"{command} /text\r")
            self.see("line 020")
            for number in range(21, 31):
                self.press(32 * "\x0e" if number == 21 else "\x0e")
            self.see("line 040")
            self.press(45 * "\x10")
            self.see("line 000")
            self.press("heron ")
            self.press(CTRL_D)
            self.prompt()
        self.assertEqual(self.shell("cat /text"), ["heron heron line 000", *lines[1:]])

    def test_modes(self):
        """The letters of vi begin to insert where they say, and ZQ drops what was done."""
        text = "one\ntwo\nthree\n"
        self.assertEqual(self.edited(text, f"jlaX{CTRL_C}ZZ")[1], "twXo")
        self.assertEqual(self.edited(text, f"jllIX{CTRL_C}ZZ")[1], "Xtwo")
        self.assertEqual(self.edited(text, f"j$hiX{CTRL_C}ZZ")[1], "twXo")
        self.assertEqual(self.edited(text, f"jOnew{CTRL_C}ZZ"), ["one", "new", "two", "three"])
        self.assertEqual(self.edited(text, f"jj^iX{CTRL_C}ZZ")[2], "Xthree")
        self.assertEqual(self.edited(text, f"iX{CTRL_C}ZQ"), text.split("\n")[:-1])
        self.assertEqual(self.edited(text, f":qgjxZaiX{CTRL_C}ZZ"), ["Xne", "two", "three"])

    def test_refused(self):
        """A folder cannot be edited, nor two files at once, and what cannot be written to is told."""
        for arguments in ("/env", "", "/a /b"):
            self.assertNotEqual(self.attempt(f"edit {arguments}").status, 0, arguments)
        self.press("edit /nowhere/text; echo status $?\r")
        self.see("~")
        self.press(f"x{CTRL_D}")
        text = self.prompt()
        self.assertIn("could not open file for writing", text)


class MenuTest(KeyboardCase):
    needs = ("CMD_MENU", "CMD_MENU_MANAGEMENT")

    def setUp(self):
        super().setUp()
        self.addCleanup(self.attempt, "menu -r -m river")
        self.shell("menu -a -m river -d 'Animals of the river'")
        for name in ("otter", "heron", "beaver"):
            self.shell(f"menu -e -a -m river -c 'echo chosen {name}' -d 'The {name}'")

    def choose(self, options, keys):
        """The menu, with its title and entries, and what is chosen by keys."""
        self.press(f"menu -s -m river {options}\r")
        entry = r"[\s\S]*?\d: The (?:otter|heron|beaver)"
        shown = self.see(rf"Animals of the river(?:{entry}){{3}}")  # the selected one comes last
        self.assertEqual(set(re.findall(r"The (\w+)", shown)), {"otter", "heron", "beaver"})
        self.press(keys)
        return re.findall(r"chosen (\w+)", self.prompt())

    def test_keys(self):
        """Keys move over the entries, around the ends, and return runs one, after which the menu ends."""
        chosen = {"\r": "otter", "jj\r": "beaver", "jjj\r": "otter", "k\r": "beaver", "2\r": "heron"}
        for keys, name in chosen.items():
            self.shell("menu -m river -S -n 1")
            self.assertEqual(self.choose("", keys), [name], repr(keys))

    def test_selected(self):
        """An entry can be selected beforehand; it runs by itself once the time is over."""
        self.shell("menu -m river -S -n 2")
        self.assertEqual(self.choose("-A 1", ""), ["heron"])

    def test_removed(self):
        """An entry that was removed is not listed, and a menu that was removed cannot be shown."""
        self.shell("menu -e -r -m river -n 2")
        text = "\n".join(self.shell("menu -e -l river"))
        self.assertIn("The otter", text)
        self.assertNotIn("The heron", text)
        self.shell("menu -r -m river")
        self.assertNotEqual(self.attempt("menu -s -m river").status, 0)

    def test_removed_renumbered(self):
        """Behind an entry that was removed, the numbers close up, and the keys follow them."""
        self.shell("menu -e -r -m river -n 1")
        self.assertEqual(self.shell("menu -e -l -m river"), ["1: The heron", "2: The beaver"])
        self.press("menu -s -m river\r")
        self.see("1: The heron")
        self.press("2\r")
        self.assertEqual(re.findall(r"chosen (\w+)", self.prompt()), ["beaver"])

    def test_listed(self):
        """Menus are listed with their titles, entries with their numbers."""
        self.assertEqual(self.shell("menu -e -l -m river"), ["1: The otter", "2: The heron", "3: The beaver"])
        self.assertRegex("\n".join(self.shell("menu -l")), r"river:\s+Animals of the river")

    def test_refused(self):
        """A menu that is there is not made again, and none without a title; what there is not is an error each time."""
        for options in ("-a -m river -d again", "-a -m lake", "-s -m lake", "-r -m lake", "-e -a -m lake -c true -d x"):
            self.assertNotEqual(self.attempt(f"menu {options}").status, 0, options)
        for options in ("-e -a -m river -d x", "-e -a -m river -c x", "-e -r -m river -n 4", "-e -r -m river -n 0"):
            self.assertNotEqual(self.attempt(f"menu {options}").status, 0, options)
        for options in ("-S -m river -n 4", "-S -m river", "-S -m lake -n 1"):
            self.assertNotEqual(self.attempt(f"menu {options}").status, 0, options)
        self.assertEqual(self.choose("-A 1", ""), ["otter"])

    def test_time(self):
        """The time that is left is told with a text of one's own, and any key ends it."""
        self.press("menu -s -m river -A 50 -d 'The river waits'\r")
        self.see("The river waits 50")
        self.press("x")
        self.press("j\r")
        self.assertEqual(re.findall(r"chosen (\w+)", self.prompt()), ["heron"])
        self.press("menu -s -m river -A 1\r")
        self.see("Auto Select in  1")
        self.prompt()

    def test_ends(self):
        """The keys for home and end go to the first entry and the last; a key without a meaning goes nowhere."""
        chosen = {b"\x85\r": "beaver", "jxq\r": "heron"}
        if "CONSOLE_RATP" not in (self.board.symbols or ()):  # to which Ctrl-A belongs
            chosen[b"\x85\x01\r"] = "otter"
        for keys, name in chosen.items():
            self.shell("menu -m river -S -n 1")
            self.assertEqual(self.choose("", keys), [name], repr(keys))

    def test_ten(self):
        """The key 0 is the tenth entry, and a number that is pressed again ten further."""
        self.addCleanup(self.attempt, "menu -r -m lake")
        self.shell("menu -a -m lake -d Lake")
        for number in range(1, 13):
            self.shell(f"menu -e -a -m lake -c 'echo chosen n{number}' -d 'Number {number}'")
        for keys, name in (("0\r", "n10"), ("2\r", "n2"), ("22\r", "n12"), ("5\r", "n5"), ("33\r", "n3")):
            self.press("menu -s -m lake\r")
            self.see("Number 12")
            self.press(keys)
            self.assertEqual(re.findall(r"chosen (\w+)", self.prompt()), [name], keys)

    def test_returned_to(self):
        """A menu is returned to from an entry that is to do so, and ends with one that is not."""
        self.shell("menu -e -a -m river -R -c 'echo chosen again' -d 'The owl'")
        self.press("menu -s -m river\r")
        self.see("The beaver")
        self.press("4\r")
        self.see("chosen again")
        self.see("4: .*The owl")
        self.press("3\r")
        self.assertEqual(re.findall(r"chosen (\w+)", self.prompt()), ["beaver"])

    def test_submenu(self):
        """An entry leads to another menu and, when that ends, back; one to a menu that there is not is told."""
        self.addCleanup(self.attempt, "menu -r -m lake")
        self.shell("menu -a -m lake -d 'Birds\\\\nof the lake'; menu -e -a -m lake -c 'echo chosen coot' -d 'The coot'")
        self.shell("menu -e -a -m river -u lake -d 'To the lake'; menu -e -a -m river -u pond -d 'To the pond'")
        self.press("menu -s -m river\r")
        self.see("To the pond")
        self.press("4\r")
        self.see(r"Birds[^\n]*of the lake[\s\S]*The coot")
        self.press("\r")
        self.see(r"chosen coot[\s\S]*Animals of the river[\s\S]*4: To the lake")
        self.press("5\r")
        self.see("no such menu: pond")
        self.press("1\r")
        self.assertEqual(re.findall(r"chosen (\w+)", self.prompt()), ["otter"])

    def test_box(self):
        """A box shows whether it is ticked; the blank ticks it and runs its command, and the menu stays."""
        self.shell("menu -e -a -m river -b 1 -c 'echo chosen dam' -d 'With a dam'")
        self.shell("menu -e -a -m river -b 0 -c 'echo chosen mill' -d 'With a mill'")
        self.press("menu -s -m river\r")
        shown = self.see("5: With a mill")
        self.assertRegex(shown, r"\[\*\]\s+4:")
        self.assertRegex(shown, r"\[ \]\s+5:")
        self.press("4 ")
        self.assertRegex(self.see(r"chosen dam[\s\S]*4: With a dam"), r"\[ \]\s+4: With a dam$")
        self.press(" ")
        self.assertRegex(self.see(r"chosen dam[\s\S]*4: With a dam"), r"\[\*\]\s+4: With a dam$")
        self.press("5 ")
        self.assertRegex(self.see(r"chosen mill[\s\S]*5: With a mill"), r"\[\*\]\s+5: With a mill$")
        self.press("1 ")
        self.assertEqual(re.findall(r"chosen (\w+)", self.prompt()), ["otter"])


class MenutreeTest(KeyboardCase):
    needs = ("CMD_MENUTREE",)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.board.discard)  # such a menu has no end: a shell is opened in it
        self.shell("mkdir -p /tree/1-otter /tree/2-box /tree/3-lake/coot /tree/4-shell; echo -o /tree/title River")
        self.shell("echo -o /tree/1-otter/title The otter")
        for name in ("1-otter", "3-lake/coot"):
            self.shell(f"echo -o /tree/{name}/action '#!/bin/sh'; echo -a /tree/{name}/action echo chosen {name[2:]}")
        self.shell("echo -o /tree/2-box/title With a dam; echo -o /tree/2-box/box global.dam; global dam=1")
        self.shell("echo -o /tree/3-lake/title The lake; echo -o /tree/3-lake/coot/title The coot")
        self.shell("echo -o /tree/4-shell/title A shell; echo -o /tree/4-shell/action '#!/bin/sh'")
        self.shell("echo -a /tree/4-shell/action 'echo; sh'")  # a prompt is known at the beginning of a line

    def test_chosen(self):
        """Folders make a menu: actions run, a box changes its variable, a folder of its own leads further and back."""
        self.press("menutree -m /tree\r")
        shown = self.see("4: A shell")
        for pattern in ("River", r"2: With a dam", "3: The lake", r"\[\*\]\s+2:", "1: The otter"):
            self.assertRegex(shown, pattern)
        self.press("\r")
        self.see(r"chosen otter[\s\S]*4: A shell")
        self.press("2 ")
        self.see(r"\[ \]\s+2: With a dam")
        self.press("3\r")
        self.see(r"The lake[\s\S]*The coot")
        self.press("1\r")
        self.see(r"chosen lake/coot[\s\S]*back")
        self.press("2\r")
        self.see(r"River[\s\S]*4: A shell")
        self.press("4\r")
        self.prompt()
        self.assertEqual(self.answer("echo $global.dam"), "0")
        self.press("exit\r")
        self.see(r"River[\s\S]*4: A shell")
        self.press("2 ")
        self.see(r"\[\*\]\s+2: With a dam")
        self.press("4\r")
        self.prompt()
        self.assertEqual(self.answer("echo $global.dam"), "1")

    def test_untitled(self):
        """A folder without a title is refused by its name, and so is one where nothing is."""
        for removed, path in (("/tree/3-lake/title", "/tree/3-lake"), ("/tree/title", "/tree")):
            self.shell(f"rm {removed}")
            result = self.attempt("menutree -m /tree")
            self.assertNotEqual(result.status, 0, str(result))
            self.assertIn(f"no title found in {path}/title", "\n".join(result.lines))
        self.assertNotEqual(self.attempt("menutree -m /nowhere").status, 0)
