"""Bytes that atheris finds by what they reach: parsers raise nothing but what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.attacks import SEED, TRIED, many
from tests.support.folders import ROOT

pytestmark = [pytest.mark.attack, pytest.mark.timeout(300)]

SEEDS = {
    "answer": b'\x00{"to": "41793026727", "messageId": "m", "status": {"groupId": 1, "id": 7}}',
    "csv": b'to,name\n41793026727,"Ada\nB"\n',
    "tsv.gz": b"\x1f\x8b\x08\x00",
    "jsonl": b'{"to": "41793026727", "name": "Ada"}\n',
    "number": b"\x00+41 (79) 302-67-27",
}


@pytest.mark.parametrize("target", SEEDS)
def test_no_bytes_break_a_parser(target: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris: not on this machine")
    (tmp_path / "first").write_bytes(SEEDS[target])
    limits = [f"-runs={many(20000)}", f"-seed={SEED}", "-max_len=200", "-timeout=60", "-max_total_time=60"]
    command = [sys.executable, "-m", "tests.support.fuzzed", target, *limits, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]  # which has the input as Base64 at its end
    TRIED["bytes that atheris found"] += many(20000)
