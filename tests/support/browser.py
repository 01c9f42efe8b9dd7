# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A headless Chromium, driven through a pipe by the DevTools protocol: no library in between."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeinfer.base.tools import locate
from edgeinfer.library.health import CHROMIUM

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
SECONDS = 60.0


class BrowserError(Exception):
    """Chromium refused, or did not answer."""


@dataclass(slots=True)
class Page:
    """A tab: what it asked the network for, and what it complained about."""

    pipe: Pipe
    session: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def call(self, method: str, **params: Any) -> Any:
        """A command of the protocol; events that come meanwhile are noted."""
        return self.pipe.call(method, self.session, self._noted, **params)

    def open(self, path: Path, *, dark: bool = False, width: int = 1180, height: int = 900) -> None:
        """Load a file and wait until it is drawn; the network is cut off."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Network.emulateNetworkConditions", offline=True, latency=0,
                  downloadThroughput=0, uploadThroughput=0)  # fmt: skip
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip
        self.theme(dark=dark)
        self.call("Page.navigate", url=path.resolve().as_uri())
        until = time.monotonic() + SECONDS
        while self.run("document.readyState") != "complete":
            if time.monotonic() > until:
                raise BrowserError(f"{path} does not load")

    def theme(self, *, dark: bool) -> None:
        """What the reader's system prefers."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def run(self, script: str) -> Any:
        """The value of an expression."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(answer["exceptionDetails"]["exception"].get("description", script))
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """A key, as a keyboard sends it."""
        more = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **more, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **more)

    def picture(self, path: Path, selector: str | None = None) -> None:
        """A screenshot of the page, or of one element."""
        clip = {}
        if selector is not None:
            box = self.run(
                f"(() => {{ const r = document.querySelector({json.dumps(selector)})"
                ".getBoundingClientRect(); return [r.x + scrollX, r.y + scrollY, r.width, r.height]"
                "; })()"
            )
            place = dict(zip(("x", "y", "width", "height"), box, strict=True))
            clip = {"clip": place | {"scale": 1}, "captureBeyondViewport": True}
        result = self.call("Page.captureScreenshot", format="png", **clip)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(result["data"]))

    def _noted(self, method: str, params: Any) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])


@dataclass(slots=True)
class Pipe:
    """Messages to and from the browser, each ended by a zero byte."""

    write: int
    read: int
    number: int = 0
    buffer: bytes = b""

    def call(
        self, method: str, session: str | None = None, noted: Any = None, **params: Any
    ) -> Any:
        """Send a command, and read until its answer."""
        self.number += 1
        told = {"id": self.number, "method": method, "params": params}
        if session is not None:
            told["sessionId"] = session
        os.write(self.write, json.dumps(told).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            if noted is not None and "method" in answer:
                noted(answer["method"], answer.get("params", {}))

    def _message(self) -> Any:
        while b"\0" not in self.buffer:
            actual = os.read(self.read, 1 << 16)
            if not actual:
                raise BrowserError("Chromium has ended")
            self.buffer += actual
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)


def _pipe() -> tuple[int, int]:
    """Both ends of a pipe, out of the way of the descriptors 3 and 4."""
    low = os.pipe()
    read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low)
    for end in low:
        os.close(end)
    return read, write


@contextlib.contextmanager
def browser() -> Iterator[Pipe]:
    """Chromium, ended when the block is left. ToolMissingError where there is none."""
    program = locate(CHROMIUM)
    its_read, our_write = _pipe()
    our_read, its_write = _pipe()

    def on_3_and_4() -> None:
        """Where the browser speaks the protocol."""
        os.dup2(its_read, 3)
        os.dup2(its_write, 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={home}", "about:blank"],
            preexec_fn=on_3_and_4,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": home},
        )
        os.close(its_read)
        os.close(its_write)
        try:
            yield Pipe(our_write, our_read)
        finally:
            os.close(our_write)  # which tells it to go
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            if process.poll() is None:
                process.kill()
                process.wait()
            os.close(our_read)


@contextlib.contextmanager
def page(pipe: Pipe) -> Iterator[Page]:
    """A tab of its own."""
    target = pipe.call("Target.createTarget", url="about:blank")["targetId"]
    session = pipe.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    try:
        yield Page(pipe, session)
    finally:
        pipe.call("Target.closeTarget", targetId=target)
