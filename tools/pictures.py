"""
Draws the pictures of the documentation: a real Airflow, the sandbox, and a browser that looks at both.

A campaign of 2,000 invites is watched before, while and after it is sent, and three doubts are settled on the page. So
the pictures stay true, and what is seen in them has happened.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.request import Request, urlopen

from browser import BrowserError, Page, browser
from demo_processes import Failed, Processes, SandboxAddress, Step, get_json, lock
from demo_ui import start_ui

REPOSITORY = Path(__file__).resolve().parents[1]
_FAULTS = ("rejected:0.02", "drop-after:0.002", "500-before:0.001", "429:0.03")
_SEED = 11
_RUN = "november"
_TAB = f"dags/welcome/runs/{_RUN}/tasks/send_invites/plugin/invites"
_WIDTH = 1280

_FRAME = "document.querySelector('iframe')?.contentDocument"
_TEXT = f"{_FRAME}?.body.innerText"
_THERE = "document.querySelector('iframe').contentDocument"


async def draw(url: str, sandbox: SandboxAddress, folder: Path) -> None:
    """Run the campaign and draw it."""
    token = get_json(f"{url}/auth/token")["access_token"]
    _post(f"{url}/api/v2/dags/welcome/dagRuns", token, {"dag_run_id": _RUN, "logical_date": None})
    async with browser() as page:
        await page.resize(_WIDTH, 900)
        await page.open(f"{url}/{_TAB}")
        await page.wait_for(f"{_TEXT}?.includes('has sent no invites')")
        await page.draw(folder / "invites-before.png")
        await page.wait_for(f"Number({_TEXT}?.match(/([0-9,]+) accepted/)?.[1].replace(',', '')) > 700", 180)
        await page.draw(folder / "invites-during.png")
        await page.wait_for(f"!!{_FRAME}?.querySelector('button[data-recipient]')", 300)
        await page.resize(_WIDTH, 1500)
        await page.draw(folder / "invites-after.png")
        await page.resize(_WIDTH, 1500, is_dark=True)
        await page.wait_for(f"{_FRAME}.documentElement.classList.contains('dark')")
        await asyncio.sleep(1)
        await page.draw(folder / "invites-after-dark.png")
        await page.resize(_WIDTH, 1500)
        await settle(page, folder)
        await page.resize(_WIDTH, 560)
        await page.open(f"{url}/plugin/invite-campaigns")
        await page.wait_for(f"{_TEXT}?.includes('welcome-2026')")
        await page.draw(folder / "campaigns.png")
        await page.resize(1180, 640)
        await page.open(sandbox.url)
        await page.wait_for("document.body.innerText.includes('Accepted')")
        await page.draw(folder / "sandbox-outbox.png")
    twice = [number for number, count in Counter(sms["to"] for sms in _accepted(sandbox)).items() if count > 1]
    if twice:
        raise Failed(f"{len(twice)} numbers got two SMS")


async def settle(page: Page, folder: Path) -> None:
    """Settle three doubts on the page, as a person does."""
    await page.value(f"{_THERE}.getElementById('why-settled').value = 'delivery report in the portal'")
    for number in range(3):
        button = f"{_THERE}.querySelectorAll('button[data-recipient][data-as=sent]')[0]"
        await page.value(f"{button}.click()")
        await page.wait_for(f"{_THERE}.querySelectorAll('.settled tbody tr').length === {number + 1}")
    await page.value(f"{_THERE}.getElementById('doubts').scrollIntoView()")
    await page.draw(folder / "invites-settled.png")


def _accepted(sandbox: SandboxAddress) -> list[dict[str, str]]:
    return [sms for sms in sandbox.outbox()["invites"] if sms["accepted"]]


def _post(url: str, token: str, body: object) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=30) as answer:
        answer.read()


def main() -> int:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "docs" / "images", help="where they go")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    work = REPOSITORY / ".pictures"
    try:
        with lock(work.with_suffix(".lock")):
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            with Processes() as processes:
                url, sandbox = start_ui(processes, work, REPOSITORY / "tools" / "picture_dags", _FAULTS, _SEED)
                with Step("A campaign, watched and drawn") as step:
                    began = time.monotonic()
                    asyncio.run(draw(url, sandbox, folder))
                    step.says = f"{folder}, {time.monotonic() - began:.0f} s"
    except (Failed, BrowserError) as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
