"""The command `annals verify`: whatever is changed of an exported ledger, it finds it and says where."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annals.cli.main import main
from annals.ledger.entry import MESSAGE, REDACTION, Entry, Record
from annals.ledger.export_lines import Header, entry_line, header_line
from annals.ledger.verify import Checkpoint
from tests.support.ledgers import PK, chain, entry_after

Values = dict[str, Any]
ROOT = Path(__file__).parents[3]
SAID = [[b'{"content":"1"}'], [b'{"content":"2"}', b'{"content":"3"}'], [b'{"content":"4"}']]


def lines_of(entries: list[Entry], conversation: str = PK) -> list[str]:
    tail = entries[-1]
    header = Header(conversation, Checkpoint(tail.last_seq, tail.hash), tail.count, 1_750_000_000_000)
    return [header_line(header), *map(entry_line, entries)]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def changed(lines: list[str], index: int, change: Callable[[Values], Any]) -> list[str]:
    values = json.loads(lines[index])
    change(values)
    return [*lines[:index], json.dumps(values), *lines[index + 1 :]]


@pytest.fixture
def lines() -> list[str]:
    return lines_of(chain(SAID))


def test_a_file_as_it_was_exported_is_valid(
    tmp_path: Path, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(write(tmp_path / "ledger.jsonl", lines))]) == 0
    output = capsys.readouterr().out
    assert "conv-1: valid, 4 entries, 4 messages" in output
    assert json.loads(lines[-1])["hash"] in output


def test_a_gzip_file_is_read_as_it_is(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "ledger.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert main(["verify", str(path)]) == 0
    path.write_bytes(path.read_bytes()[:-20])
    assert main(["verify", str(path)]) == 1


def flip(text: str) -> str:
    return ("1" if text[0] == "0" else "0") + text[1:]


CHANGES: dict[str, tuple[int, Callable[[Values], Any], int]] = {
    "body": (2, lambda values: values["records"][0].update(body='{"content":"I"}'), 1),
    "second body of an entry": (3, lambda values: values["records"][1].update(body='{"content":"3 "}'), 3),
    "salt": (2, lambda values: values["records"][0].update(salt=flip(values["records"][0]["salt"])), 1),
    "digest": (2, lambda values: values["records"][0].update(digest=flip(values["records"][0]["digest"])), 1),
    "body gone": (2, lambda values: values["records"][0].update(body=None), 1),
    "body and salt gone": (3, lambda values: values["records"][1].update(body=None, salt=None), 3),
    "kind": (2, lambda values: values["records"][0].update(kind="seal"), 1),
    "seq": (3, lambda values: values["records"][1].update(seq=9), 3),
    "record gone": (3, lambda values: values["records"].pop(0), 2),
    "last record gone": (3, lambda values: values["records"].pop(), 2),
    "order of records": (3, lambda values: values["records"].reverse(), 2),
    "genesis": (1, lambda values: values["records"][0].update(body='{"createdBy":"eve"}'), 0),
    "time of the genesis": (1, lambda values: values.update(at=values["at"] - 1), 0),
    "time": (4, lambda values: values.update(at=values["at"] + 1), 4),
    "count": (3, lambda values: values.update(count=4), 2),
    "state": (4, lambda values: values.update(state="sealed"), 4),
    "entryId": (4, lambda values: values.update(entryId="1" * 16), 4),
    "prev": (3, lambda values: values.update(prev=flip(values["prev"])), 2),
    "hash": (3, lambda values: values.update(hash=flip(values["hash"])), 2),
    "pk": (3, lambda values: values.update(pk="T#acme#C#conv-2"), 2),
    "preamble": (3, lambda values: values.update(preamble=1), 2),
    "archived": (4, lambda values: values.update(archived=3), 4),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found_where_it_is(
    name: str, tmp_path: Path, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    index, change, seq = CHANGES[name]
    assert main(["verify", str(write(tmp_path / "ledger", changed(lines, index, change)))]) == 1
    assert f"NOT VALID at seq {seq}: " in capsys.readouterr().out


MOVES: dict[str, tuple[Callable[[list[str]], list[str]], int]] = {
    "an entry removed": (lambda lines: [*lines[:2], *lines[3:]], 1),
    "the genesis removed": (lambda lines: [lines[0], *lines[2:]], 0),
    "the tail removed": (lambda lines: lines[:-1], 4),
    "all but the header removed": (lambda lines: lines[:1], 0),
    "two entries exchanged": (lambda lines: [*lines[:2], lines[3], lines[2], lines[4]], 1),
    "an entry twice": (lambda lines: [*lines[:3], lines[2], *lines[3:]], 2),
    "an entry put in": (lambda lines: [*lines[:3], entry_line(entry_after(chain(SAID)[1], [b"{}"])), *lines[3:]], 2),
    "an entry put at the end": (lambda lines: [*lines, entry_line(entry_after(chain(SAID)[-1], [b"{}"]))], 5),
    "all of it written anew": (lambda lines: [lines[0], *map(entry_line, chain(SAID))], 4),
}


@pytest.mark.parametrize("name", MOVES)
def test_a_removal_or_insertion_is_found_where_it_is(
    name: str, tmp_path: Path, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    move, seq = MOVES[name]
    assert main(["verify", str(write(tmp_path / "ledger", move(lines)))]) == 1
    assert f"NOT VALID at seq {seq}: " in capsys.readouterr().out


def redacted(lines: list[str], seq: int) -> list[str]:
    """The file of a conversation of which a message was redacted."""
    entries = chain(SAID)
    record = Record.new(5, REDACTION, json.dumps({"seq": seq, "reason": "asked for", "by": "key-1"}).encode())
    last = entry_after(entries[-1], [b"{}"])
    redaction = Entry(last.pk, last.entry_id, (record,), 4, last.state, last.at, last.prev).chained()
    bare = Record(1, MESSAGE, entries[1].records[0].digest)
    entries[1] = Entry(**{**vars(entries[1]), "records": (bare,)})
    return lines_of([*entries, redaction])


def test_a_redaction_explains_what_is_gone(
    tmp_path: Path, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(write(tmp_path / "ledger", redacted(lines, 1)))]) == 0
    assert "1 redacted" in capsys.readouterr().out


def test_a_redaction_of_another_message_explains_nothing(
    tmp_path: Path, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(write(tmp_path / "ledger", redacted(lines, 2)))]) == 1
    assert "NOT VALID at seq 1: its body is gone" in capsys.readouterr().out


def test_each_conversation_of_a_file_is_verified(
    tmp_path: Path, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    other = "T#acme#C#conv-2"
    both = [*changed(lines, 2, CHANGES["body"][1]), *lines_of(chain(SAID, other), other)]
    assert main(["verify", str(write(tmp_path / "ledger", both))]) == 1
    output = capsys.readouterr().out
    assert "conv-1: NOT VALID at seq 1" in output
    assert "conv-2: valid" in output


def test_a_file_written_anew_as_a_whole_is_found_by_a_hash_that_was_noted(tmp_path: Path, lines: list[str]) -> None:
    noted = json.loads(lines[3])["hash"]
    path = write(tmp_path / "ledger", lines)
    assert main(["verify", str(path), "--head", noted]) == 0
    write(path, lines_of(chain(SAID)))
    assert main(["verify", str(path)]) == 0
    assert main(["verify", str(path), "--head", noted]) == 1


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (1, ""),
        (2, "{"),
        (3, '{"entryId": 1}'),
        (4, "[]"),
        (2, '{"format": "annals-ledger-2"}'),
        (2, "[" * 100_000),
    ],
)
def test_a_line_that_is_none_is_named(
    number: int, line: str, tmp_path: Path, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    lines[number - 1] = line
    assert main(["verify", str(write(tmp_path / "ledger", lines))]) == 1
    output = capsys.readouterr().err
    assert f"line {number}: " in output or "does not begin with the header" in output


DAMAGES: dict[str, Callable[[Values], Any]] = {
    "no field": lambda values: values.pop("prev"),
    "another field": lambda values: values.update(colour="red"),
    "a number as text": lambda values: values.update(count=str(values["count"])),
    "no number but true": lambda values: values.update(count=True),
    "no records": lambda values: values.update(records=[]),
    "a hash that is none": lambda values: values.update(hash="xyz"),
    "half of a character": lambda values: values["records"][0].update(body="\ud800"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_entry_is_named(
    name: str, tmp_path: Path, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(write(tmp_path / "ledger", changed(lines, 2, DAMAGES[name])))]) == 1
    assert "line 3: " in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\n", b"\x1f\x8bnonsense"])
def test_a_file_that_holds_no_ledger_is_not_valid(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_bytes(content)
    assert main(["verify", str(path)]) == 1


def test_a_file_that_is_not_there_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "nothing")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_verifying_needs_no_library_and_no_network(tmp_path: Path, lines: list[str]) -> None:
    path = write(tmp_path / "ledger", lines)
    program = (
        "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]\n"
        "import socket; socket.socket = None\n"
        f"from annals.cli.main import main; sys.exit(main(['verify', {str(path)!r}]))"
    )
    done = subprocess.run(  # noqa: S603 - this checkout's own command
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT / "layers/annals")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "valid" in done.stdout
