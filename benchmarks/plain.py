"""
A process that sends without Airflow: ``aiohttp`` or ``requests`` threads.

Each line on standard input is an order, answered with a line on the descriptor given. It keeps nothing in mind, repeats
nothing and records nothing: what it does is the least that sends an invite.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

import aiohttp
import requests

from benchmarks.invites import read_bodies
from benchmarks.measure import measured

CONCURRENCY = 32


def send_with_aiohttp(order: dict[str, Any], bodies: list[dict[str, str]]) -> None:
    async def send_all() -> None:
        waiting = iter(bodies)

        async def work() -> None:
            for body in waiting:
                async with session.post(order["url"], json=body) as response:
                    response.raise_for_status()
                    await response.json()

        async with aiohttp.ClientSession(
            auth=aiohttp.BasicAuth(order["user"], order["password"]),
            connector=aiohttp.TCPConnector(limit=CONCURRENCY),
        ) as session:
            await asyncio.gather(*(work() for _ in range(CONCURRENCY)))

    asyncio.run(send_all())


def send_with_requests(order: dict[str, Any], bodies: list[dict[str, str]]) -> None:
    waiting: queue.SimpleQueue[dict[str, str] | None] = queue.SimpleQueue()
    for body in [*bodies, *[None] * CONCURRENCY]:
        waiting.put(body)

    def work(session: requests.Session) -> None:
        while (body := waiting.get()) is not None:
            response = session.post(order["url"], json=body, timeout=30)
            response.raise_for_status()
            response.json()

    with requests.Session() as session:
        session.auth = (order["user"], order["password"])
        session.mount("http://", requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=CONCURRENCY))
        threads = [threading.Thread(target=work, args=(session,)) for _ in range(CONCURRENCY)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


WAYS: dict[str, Callable[[dict[str, Any], list[dict[str, str]]], None]] = {
    "aiohttp": send_with_aiohttp,
    "requests": send_with_requests,
}


def main(way: str, answers: int) -> None:
    os.write(answers, b"started\n")
    for line in sys.stdin:
        order = json.loads(line)
        bodies = read_bodies(order["list"])
        with measured(len(bodies), order["report"]):
            WAYS[way](order, bodies)
        os.write(answers, b"done\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
