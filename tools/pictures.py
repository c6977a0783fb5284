"""
Draws the pictures of the documentation: a real Airflow, the sandbox, and a browser that looks at both.

A campaign of 2,000 invites is watched before, while and after it is sent, and doubts are settled on the page. Small
lists are empty, asleep, wait for their next try, lose their worker, or are a dry run before approval. So the pictures
stay true, and what is seen in them has happened.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
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
# Tasks of the DAG autumn, the state in which each is drawn, what its tab says then, and the picture.
_STATES = (
    ("send_to_nobody", "skipped", "The list was empty", "invites-empty"),
    ("send_by_day", "deferred", "wait for their send window", "invites-asleep"),
    ("send_again", "up_for_retry", "which Airflow begins by itself", "invites-retry"),
    ("send_until_killed", "failed", "the worker died", "invites-worker-died"),
)
# The others look alike in the dark; --dark draws them, too.
_DARK = {"invites-after"}
_WIDTH = 1280
_PATIENCE_SECONDS = 300

_FRAME = "document.querySelector('iframe')?.contentDocument"
_TEXT = f"{_FRAME}?.body?.innerText"
_THERE = "document.querySelector('iframe').contentDocument"


@dataclass(frozen=True)
class Studio:
    """Where pictures are taken, and where they go."""

    page: Page
    api: Api
    sandbox: SandboxAddress
    folder: Path
    is_dark: bool

    async def draw_campaign(self) -> None:
        """Draw a campaign before, while and after it is sent, and some of its doubts settled."""
        self.api.pause("welcome", is_paused=True)
        self.api.trigger("welcome")
        await self.open(_tab("welcome", "send_invites"), "has sent no invites")
        await self.draw("invites-before", 560)
        self.api.pause("welcome", is_paused=False)
        # Airflow's part of a page that was opened while its DAG was paused stays as it was.
        await self.open(_tab("welcome", "send_invites"), "")
        await self.page.wait_for(_accepted_more_than(700), _PATIENCE_SECONDS)
        await self.draw("invites-during", 900)
        await self.page.wait_for(f"!!{_FRAME}?.querySelector('button[data-recipient]')", _PATIENCE_SECONDS)
        await self.draw("invites-after", 1500)
        await self.settle()

    async def settle(self) -> None:
        """Settle doubts on the page, as a person does: two at once, and one."""
        await self.page.value(f"{_THERE}.getElementById('why-settled').value = 'delivery report in the portal'")
        for number in range(2):
            await self.page.value(f"{_THERE}.querySelectorAll('[data-choose]')[{number}].click()")
        for settled, button in ((2, "#all-sent"), (3, "[data-recipient][data-as=not_sent]")):
            await self.page.value(f"{_THERE}.querySelector('{button}').click()")
            await self.page.wait_for(f"{_THERE}.querySelectorAll('.settled tbody tr').length === {settled}")
        top = f"{_THERE}.getElementById('doubts').offsetTop - 50"
        await self.page.value(f"{_THERE}.defaultView.scrollTo(0, {top})")
        await self.draw("invites-settled", 1200)

    async def draw_states(self) -> None:
        """Draw tasks with other endings, and the run that has them all."""
        self.api.trigger("autumn")
        await self.open(_tab("autumn", "send_until_killed"), "accepted")
        await self.page.wait_for(_accepted_more_than(40), _PATIENCE_SECONDS)
        os.kill(self.api.task("autumn", "send_until_killed")["pid"], signal.SIGKILL)
        for task_id, state, says, name in _STATES:
            await asyncio.to_thread(self.api.wait_for, "autumn", task_id, state)
            await self.open(_tab("autumn", task_id), says)
            await self.draw(name, 900)
        await self.open(f"dags/autumn/runs/{_RUN}/plugin/run-invites", "send_until_killed")
        await self.draw("invites-run", 1200)

    async def draw_approval(self) -> None:
        """Draw a dry run, and the person who is asked."""
        self.api.trigger("spring")
        await asyncio.to_thread(self.api.wait_for, "spring", "preview", "success")
        await self.open(_tab("spring", "preview"), "nothing was sent")
        await self.draw("invites-dry-run", 1200)
        await self.page.open(f"{self.api.url}/dags/spring/runs/{_RUN}/tasks/approve/required_actions")
        await self.page.wait_for("document.body.innerText.includes('would be invited')", _PATIENCE_SECONDS)
        await self.draw("approval", 1000)

    async def draw_lists(self) -> None:
        """Draw the campaigns page, and what the sandbox received."""
        await self.open("plugin/invite-campaigns", "welcome-2026")
        await self.draw("campaigns", 640)
        await self.page.open(self.sandbox.url)
        await self.page.wait_for("document.body.innerText.includes('Accepted')")
        await self.draw("sandbox-outbox", 640)

    async def draw_form(self) -> None:
        """Draw the form of a connection, our fields unfolded."""
        await self.page.resize(_WIDTH, 1500)
        await self.page.open(f"{self.api.url}/connections")
        for label in ("Edit Connection", "Extra Fields"):
            await asyncio.sleep(1)  # a dialog that is still being built takes no clicks
            await self.page.wait_for(_clicked(label))
        await self.page.wait_for("document.body.innerText.includes('Idempotent sending')")
        await self.draw("connection-form", 1500)

    async def open(self, address: str, says: str) -> None:
        """Open a page of Airflow, and wait until our frame in it says something."""
        await self.page.open(f"{self.api.url}/{address}")
        await self.page.wait_for(f"{_TEXT}?.includes({json.dumps(says)})", _PATIENCE_SECONDS)

    async def draw(self, name: str, height: int) -> None:
        """Draw what is seen in the light theme, and in the dark one where that is asked for."""
        for theme in ("dark", "light") if self.is_dark or name in _DARK else ("light",):
            is_dark = theme == "dark"
            await self.page.resize(_WIDTH, height, is_dark=is_dark)
            followed = f"({_FRAME} ?? document).documentElement.classList.contains('dark') === {json.dumps(is_dark)}"
            await self.page.wait_for(f"{followed} || !document.querySelector('iframe')")
            await asyncio.sleep(1)  # colours fade
            picture = self.folder / f"{name}{'-dark' if is_dark else ''}.png"
            await self.page.draw(picture)
            make_smaller(picture)


def make_smaller(picture: Path) -> None:
    """Keep 256 colours, if pngquant is installed."""
    if shutil.which("pngquant"):
        options = ("--force", "--skip-if-larger", "--strip", "--output", str(picture))
        subprocess.run(["pngquant", *options, str(picture)], check=False)


def _accepted_more_than(count: int) -> str:
    counted = f"Number({_TEXT}?.match(/([0-9,]+) accepted/)?.[1].replace(',', '')) > {count}"
    return f"{counted} && {_TEXT}.includes('to come')"


def _clicked(label: str) -> str:
    is_it = f"[each.ariaLabel, each.innerText.trim()].includes({json.dumps(label)})"
    found = f"[...document.querySelectorAll('button')].find((each) => {is_it})"
    # What unfolds takes clicks only while it has the focus, which a headless browser gives to nothing.
    focus = "found?.dispatchEvent(new FocusEvent('focusin', {bubbles: true}))"
    return f"(() => {{const found = {found}; {focus}; setTimeout(() => found?.click(), 100); return !!found}})()"


def _tab(dag_id: str, task_id: str) -> str:
    return f"dags/{dag_id}/runs/{_RUN}/tasks/{task_id}/plugin/invites"


@dataclass(frozen=True)
class Api:
    """Airflow's REST API."""

    url: str
    token: str

    def trigger(self, dag_id: str) -> None:
        """Start the run of a DAG."""
        self.send(f"{self.url}/api/v2/dags/{dag_id}/dagRuns", {"dag_run_id": _RUN, "logical_date": None})

    def pause(self, dag_id: str, *, is_paused: bool) -> None:
        """Keep the runs of a DAG from being scheduled, or let them."""
        self.send(f"{self.url}/api/v2/dags/{dag_id}", {"is_paused": is_paused}, "PATCH")

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

    def send(self, url: str, body: object, method: str = "POST") -> None:
        """Send JSON."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with urlopen(
            Request(url, json.dumps(body).encode(), headers, method=method), timeout=_PATIENCE_SECONDS
        ) as answer:
            answer.read()


async def draw_all(url: str, sandbox: SandboxAddress, folder: Path, *, is_dark: bool) -> None:
    """Run the campaigns and draw them."""
    api = Api(url, get_json(f"{url}/auth/token")["access_token"])
    async with browser() as page:
        studio = Studio(page, api, sandbox, folder, is_dark)
        await page.resize(_WIDTH, 900)
        await studio.draw_campaign()
        await studio.draw_states()
        await studio.draw_approval()
        await studio.draw_lists()
        await studio.draw_form()
    numbers = Counter(sms["to"] for sms in sandbox.outbox()["invites"] if sms["accepted"])
    if twice := sum(count > 1 for count in numbers.values()):
        raise Failed(f"{twice} numbers got two SMS")


def main() -> int:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "docs" / "images", help="where they go")
    parser.add_argument("--dark", action="store_true", help="draw each in the dark theme, too")
    given = parser.parse_args()
    folder: Path = given.folder
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
                    asyncio.run(draw_all(url, sandbox, folder, is_dark=given.dark))
                    step.says = f"{folder}, {time.monotonic() - began:.0f} s"
    except (Failed, BrowserError) as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
