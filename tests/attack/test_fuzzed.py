"""Bytes that atheris finds by what they reach: parsers raise nothing but what they say."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.attacks import SEED, TRIED, many
from tests.support.folders import ROOT

pytestmark = [
    pytest.mark.attack,
    pytest.mark.skipif(find_spec("atheris") is None, reason="atheris: not on this machine"),
]

SEEDS = {
    "answer": b'\x00{"to": "41785559182", "messageId": "m", "status": {"groupId": 1, "id": 7}}',
    "csv": b'to,name\n41785559182,"Ada\nB"\n',
    "tsv.gz": b"\x1f\x8b\x08\x00",
    "jsonl": b'{"to": "41785559182", "name": "Ada"}\n',
    "number": b"\x00+41 (78) 555-91-82",
}


@pytest.mark.parametrize("target", SEEDS)
def test_no_bytes_break_a_parser(target: str, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "first").write_bytes(SEEDS[target])
    runs = many(30000)
    limits = [f"-runs={runs}", f"-seed={SEED}", "-max_len=200", "-timeout=60", "-max_total_time=60"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.fuzzed", target, *limits, f"-artifact_prefix={tmp_path}/", "corpus"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    # With what was found as Base64 at its end.
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    TRIED["bytes that atheris found"] += runs
