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
