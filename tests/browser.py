"""A headless Chromium driven over its debugging pipe: what a page asks for, what it complains of, what it holds."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run --remote-debugging-pipe"


@dataclass
class Visit:
    """What a page did when it was opened.

    Attributes:
        asked: Addresses asked for, the page itself left out.
        console: Errors and messages of the console.
        drawings: Number of SVG drawings in the page.
        width: Width of the content in px; more than the window's means sideways scrolling.
    """

    asked: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    drawings: int = 0
    width: int = 0


class Browser:
    """One Chromium with one tab and no network."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._left, self._number = read, write, b"", 0
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._call(f"{domain}.enable", {})

    def open(self, page: Path, *, width: int = 1280) -> Visit:
        """Open a file in a window of this width and tell what happened until it was loaded and half a second after."""
        visit = Visit()
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", size)
        self._call("Page.navigate", {"url": page.as_uri()}, visit)
        ask = "new Promise(done => setTimeout(() => done([document.querySelectorAll('svg').length, "
        ask += "document.documentElement.scrollWidth]), 500))"
        wait = "new Promise(done => document.readyState == 'complete' ? done() : addEventListener('load', done))"
        for expression in (wait, ask):
            asked = {"expression": expression, "awaitPromise": True, "returnByValue": True}
            answer = self._call("Runtime.evaluate", asked, visit)
        visit.drawings, visit.width = answer["result"]["value"]
        visit.asked = [address for address in visit.asked if address != page.as_uri()]
        return visit

    def _call(self, method: str, params: dict, visit: Visit | None = None) -> dict:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                return answer["result"]
            if visit is not None:
                _note(visit, answer)

    def _receive(self) -> dict:
        while b"\0" not in self._left:
            part = os.read(self._read, 1 << 20)
            assert part, "Chromium ended"
            self._left += part
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)


def _note(visit: Visit, event: dict) -> None:
    params = event.get("params", {})
    if event.get("method") == "Network.requestWillBeSent":
        visit.asked.append(params["request"]["url"])
    elif event.get("method") == "Runtime.exceptionThrown":
        visit.console.append(params["exceptionDetails"].get("exception", {}).get("description", "exception"))
    elif event.get("method") == "Runtime.consoleAPICalled":
        visit.console.append(str(params["args"]))
    elif event.get("method") == "Log.entryAdded":
        visit.console.append(params["entry"]["text"])


@contextmanager
def start_browser(profile: Path) -> Iterator[Browser]:
    """Start Chromium with a profile folder of its own and no way to find a host."""
    to_read, to_write = os.pipe(), os.pipe()

    def connect() -> None:
        os.dup2(to_write[0], 60)
        os.dup2(to_read[1], 61)
        os.dup2(60, 3)
        os.dup2(61, 4)

    command = [str(CHROMIUM), *FLAGS.split(), "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=connect, close_fds=False
    )
    try:
        yield Browser(to_read[0], to_write[1])
    finally:
        process.kill()
        process.wait()
        for end in (*to_read, *to_write):
            os.close(end)
