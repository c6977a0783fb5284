"""A headless Chromium that is told what to do over its own protocol: pages opened, clicked and drawn."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE_SECONDS = 60


class BrowserError(Exception):
    """There is no browser, or a page did not become what it should."""


class Page:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer to one command of the protocol."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                said = json.loads(await self._socket.receive_str())
                if said.get("id") == number:
                    if "error" in said:
                        raise BrowserError(f"{method}: {said['error']['message']}")
                    result: dict[str, Any] = said["result"]
                    return result

    async def resize(self, width: int, height: int, *, is_dark: bool = False) -> None:
        """Set the size in CSS pixels, and the colours that the system prefers."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def open(self, address: str) -> None:
        """Go to an address."""
        await self.call("Page.navigate", url=address)

    async def value(self, script: str) -> Any:
        """Return the value of an expression in the page; None if it has none yet."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return None if "exceptionDetails" in answer else answer["result"].get("value")

    async def wait_for(self, script: str, seconds: float = _PATIENCE_SECONDS) -> Any:
        """
        Wait until an expression of the page is true, and give it.

        :raises BrowserError: it does not become so.
        """
        for _ in range(int(seconds * 5)):
            if found := await self.value(script):
                return found
            await asyncio.sleep(0.2)
        raise BrowserError(f"Nothing came of {script} in {seconds:g} s; the page says: {await self.text()}")

    async def text(self) -> str:
        """Return the text of the page, and of the frame in it."""
        inner = (
            "[...document.querySelectorAll('iframe')].map((frame) => frame.contentDocument?.body?.innerText).join(' ')"
        )
        return str(await self.value(f"(document.body?.innerText ?? '') + ' ' + {inner}"))[:2000]

    async def draw(self, path: Path) -> None:
        """Write what is seen as a PNG file."""
        answer = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(answer["data"]))


@asynccontextmanager
async def browser() -> AsyncIterator[Page]:
    """
    Start a browser with a new profile, and end it.

    :raises BrowserError: this machine has no browser.
    """
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        raise BrowserError(f"No browser was found; install one of {', '.join(_NAMES)}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
        process = await asyncio.create_subprocess_exec(
            program,
            *options,
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await _port(Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    found = next(each for each in await answer.json() if each["type"] == "page")
                async with session.ws_connect(found["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    yield Page(socket)
        finally:
            process.terminate()
            await process.wait()


async def _port(file: Path) -> str:
    for _ in range(_PATIENCE_SECONDS * 5):
        if lines := await asyncio.to_thread(_lines, file):
            return lines[0]
        await asyncio.sleep(0.2)
    raise BrowserError("The browser did not start")


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
