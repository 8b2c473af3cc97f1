#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A QEMU that is none: it speaks QMP and plays a barebox, or what MOCK_QEMU says instead.

The scenarios are the ways in which a guest or QEMU itself goes wrong; each function's docstring tells one.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

BANNER = "\r\n\r\nbarebox 2026.06.1 #1 Mon Jan 1 00:00:00 UTC 2026\r\n\r\n\r\nBoard: ARM QEMU virt64\r\n"
PROMPT = "\x1b[1;32mbarebox@\x1b[1;36mARM QEMU virt64:/\x1b[0m "
MODELS = ("virtio-blk-device", "virtio-blk-pci", "virtio-net-device", "virtio-net-pci", "virtio-rng-device")
LIFE_SECONDS = 60
ANSWERS = {"query-status": {"status": "running"}, "query-migrate": {"status": "failed"}}
REGISTERS = " PC=0000000040000010 X00=0000000000000001\nX30=0000000040000020  SP=0000000050000000\n"


class Guest:
    """The guest's side of the console."""

    def __init__(self, path):
        self._in = os.open(f"{path}.in", os.O_RDONLY)
        self._out = os.open(f"{path}.out", os.O_WRONLY)

    def say(self, text):
        os.write(self._out, text.encode())

    def key(self):
        return os.read(self._in, 1).decode()

    def line(self):
        """A line, echoed character by character."""
        text = ""
        while (key := self.key()) != "\r":
            text += key
            self.say(key)
        self.say("\r\n")
        return text


def boot(guest):
    """The autoboot line, a key, the prompt."""
    guest.say(BANNER + "some: message\r\nHit m for menu or any to stop autoboot:    3")
    guest.key()
    guest.say("\r\n")


def shell(guest, monitor):
    """Commands: echo, true, false, and those of the scenarios."""
    while True:
        guest.say(PROMPT)
        line = guest.line()
        status = 0
        for command in line.split(";"):
            status = act(guest, monitor, command, status)


def act(guest, monitor, command, status):
    """Play a command and return its exit status."""
    word, _, rest = command.strip().partition(" ")
    if word == "echo":
        guest.say(rest.replace('""', "").replace("$?", str(status)) + "\r\n")
    elif word in TRICKS:
        TRICKS[word](guest, monitor)
    return int(word == "false")


def reset(guest, monitor):
    monitor.event("RESET")
    boot(guest)
    shell(guest, monitor)


def panic(guest, _monitor):
    guest.say("PANIC: unable to handle paging request at address 0x10\r\nPC is at otter+0x4\r\n")
    time.sleep(LIFE_SECONDS)


TRICKS = {
    "die": lambda *_: os._exit(3),
    "hang": lambda *_: time.sleep(LIFE_SECONDS),
    "panic": panic,
    "poweroff": lambda *_: os._exit(0),
    "reset": reset,
}


def well(guest, monitor):
    """A guest that works."""
    boot(guest)
    shell(guest, monitor)


def silent(_guest, _monitor):
    """A guest without a character."""
    time.sleep(LIFE_SECONDS)


def no_prompt(guest, _monitor):
    """A guest that talks on and never comes to a prompt."""
    guest.say(BANNER)
    while True:
        guest.say("still busy\r\n")
        time.sleep(0.02)


def noise(guest, _monitor):
    """10 MB without a line's end."""
    guest.say(BANNER)
    for _ in range(10_000):
        guest.say("x" * 1000)
    time.sleep(LIFE_SECONDS)


def loop(guest, monitor):
    """Starts again and again."""
    while True:
        guest.say(BANNER)
        monitor.event("RESET")
        time.sleep(0.02)


def crash(guest, _monitor):
    """Panics before its prompt."""
    guest.say(BANNER + "PANIC: unable to handle NULL pointer dereference\r\n")
    time.sleep(LIFE_SECONDS)


def late_death(guest, _monitor):
    """QEMU dies while the guest starts."""
    guest.say(BANNER + "Hit m for menu or any to stop autoboot:    3")
    guest.key()
    print("mock: assertion failed", file=sys.stderr, flush=True)
    os._exit(134)


def answer_to(request):
    """What a request is answered with; one for memory is served by a file of it."""
    arguments = request.get("arguments", {})
    if request["execute"] == "human-monitor-command":
        line = arguments["command-line"]
        return REGISTERS if line.startswith("info registers") else f"mock: {line}\r\n"
    if request["execute"] == "pmemsave":
        Path(arguments["filename"]).write_bytes(bytes(arguments["size"]))
    return ANSWERS.get(request["execute"], {})


class Monitor:
    """QMP, as far as the harness uses it."""

    def __init__(self, path):
        self.agreed = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._send({"QMP": {"version": {"qemu": {"major": 8, "minor": 0, "micro": 0}}, "capabilities": []}})
        threading.Thread(target=self._serve, daemon=True).start()

    def _send(self, message):
        self._socket.sendall(json.dumps(message).encode() + b"\r\n")

    def event(self, name):
        self._send({"event": name, "data": {}, "timestamp": {"seconds": 0, "microseconds": 0}})

    def _requests(self):
        """Requests follow each other without a separator."""
        text = ""
        while received := self._socket.recv(4096):
            text += received.decode()
            with contextlib.suppress(json.JSONDecodeError):
                request, end = json.JSONDecoder().raw_decode(text)
                text = text[end:].lstrip()
                yield request

    def _serve(self):
        for request in self._requests():
            answer = {"return": answer_to(request)}
            self._send({**answer, **({"id": request["id"]} if "id" in request else {})})
            self.agreed.set()
            if request["execute"] == "quit":
                os._exit(0)


def value(start):
    """What follows ``start`` in the argument that begins with it."""
    return next(a.removeprefix(start) for a in sys.argv if a.startswith(start))


def main():
    arguments = " ".join(sys.argv[1:])
    scenario = os.environ.get("MOCK_QEMU", "well")
    if "--version" in arguments:
        print(f"QEMU emulator version {'5.1.0' if scenario == 'old' else '8.0.0'}")
        return
    if "-device help" in arguments:
        print("\n".join(f'name "{model}", bus virtio-bus' for model in MODELS))
        return
    if scenario == "early_death":
        sys.exit("mock: -machine virt: unsupported machine type")
    if scenario == "no_kvm" and "-accel kvm" in arguments:
        sys.exit("mock: failed to initialize kvm: Invalid argument")
    signal.alarm(LIFE_SECONDS)
    guest = Guest(value("pipe,id=console,path="))
    monitor = Monitor(value("socket,id=qmp,path="))
    monitor.agreed.wait()
    globals().get(scenario, well)(guest, monitor)


if __name__ == "__main__":
    main()
