"""
Draws the pictures of the documentation: a real Airflow, the sandbox, and a browser that looks at both.

A campaign of 2,000 invites is watched before, while and after it is sent, and three doubts are settled on the page.
Small ones wait for their next try, lose their worker, or are a dry run. So the pictures stay true, and what is seen in
them has happened. Each state of the tab is drawn in both themes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from browser import BrowserError, Page, browser
from demo_processes import Failed, Processes, SandboxAddress, Step, get_json, lock
from demo_ui import start_ui

REPOSITORY = Path(__file__).resolve().parents[1]
_FAULTS = ("rejected:0.02", "drop-after:0.002", "500-before:0.001", "429:0.03")
_SEED = 11
_RUN = "november"
# DAG, task, the state in which it is drawn, and the picture.
_OTHERS = (
    ("reminder", "send_again", "up_for_retry", "invites-retry"),
    ("autumn", "send_until_killed", "killed", "invites-worker-died"),
    ("spring", "preview", "success", "invites-dry-run"),
)
_WIDTH = 1280
_PATIENCE_SECONDS = 300

_FRAME = "document.querySelector('iframe')?.contentDocument"
_TEXT = f"{_FRAME}?.body.innerText"
_THERE = "document.querySelector('iframe').contentDocument"


async def draw(url: str, sandbox: SandboxAddress, folder: Path) -> None:
    """Run the campaign and draw it."""
    api = Api(url, get_json(f"{url}/auth/token")["access_token"])
    api.trigger("welcome")
    async with browser() as page:
        await page.resize(_WIDTH, 900)
        await page.open(f"{url}/{_tab('welcome', 'send_invites')}")
        await page.wait_for(f"{_TEXT}?.includes('has sent no invites')")
        await page.draw(folder / "invites-before.png")
        await page.wait_for(f"Number({_TEXT}?.match(/([0-9,]+) accepted/)?.[1].replace(',', '')) > 700", 180)
        await draw_both(page, folder / "invites-during.png", 900)
        await page.wait_for(f"!!{_FRAME}?.querySelector('button[data-recipient]')", 300)
        await draw_both(page, folder / "invites-after.png", 1500)
        await settle(page, folder)
        await draw_other_states(page, api, sandbox, folder)
        await page.resize(_WIDTH, 560)
        await page.open(f"{url}/plugin/invite-campaigns")
        await page.wait_for(f"{_TEXT}?.includes('welcome-2026')")
        await draw_both(page, folder / "campaigns.png", 560)
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
    await draw_both(page, folder / "invites-settled.png", 1500)


async def draw_other_states(page: Page, api: Api, sandbox: SandboxAddress, folder: Path) -> None:
    """Draw a batch that waits for its next try, one whose worker died, and a dry run with its approval."""
    api.post(f"{sandbox.url}/__faults", {"faults": {}, "script": [*["ok"] * 120, "429"]})
    for dag_id, task_id, state, name in _OTHERS:
        api.trigger(dag_id)
        if state == "killed":
            await page.open(f"{api.url}/{_tab(dag_id, task_id)}")
            await page.wait_for(f"Number({_TEXT}?.match(/([0-9,]+) accepted/)?.[1]) > 40", 180)
            os.kill(api.task(dag_id, task_id)["pid"], signal.SIGKILL)
            state = "failed"
        await asyncio.to_thread(api.wait_for, dag_id, task_id, state)
        await page.open(f"{api.url}/{_tab(dag_id, task_id)}")
        await page.wait_for(f"{_TEXT}?.trim().length > 10")
        await draw_both(page, folder / f"{name}.png", 1100)


async def draw_both(page: Page, path: Path, height: int) -> None:
    """Draw what is seen in the light and in the dark theme."""
    for is_dark in (True, False):
        await page.resize(_WIDTH, height, is_dark=is_dark)
        await page.wait_for(f"{_FRAME}.documentElement.classList.contains('dark') === {json.dumps(is_dark)}")
        await asyncio.sleep(1)
        await page.draw(path.with_stem(f"{path.stem}-dark") if is_dark else path)


def _tab(dag_id: str, task_id: str) -> str:
    return f"dags/{dag_id}/runs/{_RUN}/tasks/{task_id}/plugin/invites"


@dataclass(frozen=True)
class Api:
    """Airflow's REST API."""

    url: str
    token: str

    def trigger(self, dag_id: str) -> None:
        """Start the run of a DAG."""
        self.post(f"{self.url}/api/v2/dags/{dag_id}/dagRuns", {"dag_run_id": _RUN, "logical_date": None})

    def task(self, dag_id: str, task_id: str) -> dict[str, Any]:
        """Return the task instance."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{_RUN}/taskInstances/{task_id}"
        found: dict[str, Any] = get_json(f"{self.url}{path}", self.token)
        return found

    def wait_for(self, dag_id: str, task_id: str, state: str) -> None:
        """Wait until the task instance is in this state."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while (found := self.task(dag_id, task_id)["state"]) != state:
            if time.monotonic() > until:
                raise Failed(f"{dag_id}/{task_id} is {found}, and not {state} after {_PATIENCE_SECONDS} s")
            time.sleep(0.5)

    def post(self, url: str, body: object) -> None:
        """Send JSON."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=30) as answer:
            answer.read()


def _accepted(sandbox: SandboxAddress) -> list[dict[str, str]]:
    return [sms for sms in sandbox.outbox()["invites"] if sms["accepted"]]


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
