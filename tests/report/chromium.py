"""A headless Chromium of the system, driven over a pipe by its DevTools protocol: no driver, no package.

with browser() as page:
    page.open("file:///…/index.html")
    page.js("document.title")
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 90.0  # seconds that anything may take on a machine with other work


class Page:
    """A tab. `errors`: what its scripts have thrown or logged as errors."""

    def __init__(self, to: int, of: int) -> None:
        self._to, self._of, self._rest, self._last, self._session = to, of, b"", 0, None
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        """The result of a DevTools command."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": given}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def js(self, code: str) -> Any:
        """The value of an expression, awaited where it is a promise."""
        done = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(f"{code}: {done['exceptionDetails']}")
        return done["result"].get("value")

    def until(self, code: str) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.js(f"Boolean({code})"):
            assert time.monotonic() < end, f"never true: {code}; errors: {self.errors}"
            time.sleep(0.05)

    def open(self, url: str, ready: str = "typeof M2 === 'object' && M2.ready === true") -> None:
        """Loads a page and waits until it is ready; by default one of launch/view.py."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        self.until(ready)

    def size(self, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, key: str) -> None:
        """A key, as a person would press it."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        codes = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37, "ArrowRight": 39}
        code = {"windowsVirtualKeyCode": codes[key]} if key in codes else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text, **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **code)

    def write(self, text: str) -> None:
        """Types a text where the cursor is."""
        self.call("Input.insertText", text=text)

    def shot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            read = os.read(self._of, 1 << 20)
            if not read:
                raise RuntimeError("Chromium has ended")
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(line)
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(message["params"]["exceptionDetails"]))
        if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.errors.append(message["params"]["entry"]["text"])
        return message


@contextlib.contextmanager
def browser() -> Iterator[Page]:
    """A tab of a browser of its own, which ends with it."""
    (theirs, to), (of, yours) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory() as profile:
        code = f'exec "$0" "$@" 3<&{theirs} 4>&{yours}'
        argv = ["bash", "-c", code, str(PROGRAM), *FLAGS, f"--user-data-dir={profile}"]
        process = subprocess.Popen(argv, pass_fds=(theirs, yours), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.close(theirs)
        os.close(yours)
        try:
            yield Page(to, of)
        finally:
            process.kill()
            process.wait()
            os.close(to)
            os.close(of)
            time.sleep(0.2)  # its children still write to the profile
            shutil.rmtree(profile, ignore_errors=True)
            Path(profile).mkdir(exist_ok=True)
