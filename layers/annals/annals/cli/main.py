"""The command's arguments."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from annals import __version__
from annals.cli.files import CommandFailed
from annals.cli.installation import use_client

FORMATS = ("json", "jsonl", "csv", "openai-chat", "anthropic", "bedrock", "ai-sdk", "sharegpt", "ledger")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 when it did what it says, 1 when it did not, 2 for arguments that it does not know."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except CommandFailed as failure:
        sys.stderr.write(f"annals: {failure}\n")
        return 1
    except ModuleNotFoundError as missing:
        sys.stderr.write(f"annals: this command needs the package {missing.name}: it comes with annals-memory\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("annals: interrupted\n")
        return 1


def command() -> None:
    """The installed program ``annals``."""
    sys.exit(main())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="annals", description="Append-only conversation memory for AI agents.")
    parser.add_argument("--version", action="version", version=f"annals {__version__}")
    commands = parser.add_subparsers(title="commands", required=True)
    _add_dev(commands)
    _add_sandbox(commands)
    _add_verify(commands)
    _add_export(commands)
    _add_import(commands)
    _add_cost(commands)
    _add_rebuild(commands)
    _add_drift(commands)
    _add_redrive(commands)
    return parser


def _add_dev(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "dev",
        help="serve the whole system on this machine",
        description="Serve the whole of Annals on http://127.0.0.1: routes, streams, tables, search. Ctrl-C stops it "
        "and keeps the data. Settings come from the environment, as for the functions.",
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on, 0 for any (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=Path(".annals"), help="folder of the data (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=4, help="requests worked on at once (default: %(default)s)")
    parser.add_argument("--events", action="store_true", help="have queues for events, too")
    parser.set_defaults(run=_dev)


def _add_sandbox(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "sandbox",
        help="serve a system that keeps nothing, for tests",
        description="Serve a system in memory on a Unix socket until the standard input ends, for tests: "
        "annals_client.testing calls it. Where it answers is printed as a line of JSON. "
        "Settings are those that are given here; the environment's are left aside.",
    )
    parser.add_argument("settings", metavar="NAME=VALUE", nargs="*", help="such as EMBEDDINGS_URL=http://127.0.0.1:…")
    parser.set_defaults(run=_sandbox)


def _add_verify(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "verify",
        help="check an exported ledger, offline",
        description="Check every digest and every link of an exported ledger (format=ledger, plain or gzip). Needs "
        "neither a service nor a network. Exit code 0 if all of it is what was appended, 1 if not.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="what `annals export --format ledger` wrote")
    parser.add_argument("--head", metavar="HASH", help="a headHash noted before: the file must still hold it")
    _add_parts(parser, "that holds the large parts of the messages, to check them, too")
    parser.set_defaults(run=_verify)


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "export",
        help="write conversations to a file",
        description="Write one conversation, or all that the filters match, to a file. A file that could not be "
        "finished is not kept.",
    )
    _add_service(parser)
    parser.add_argument("--conversation", metavar="ID", help="one conversation (default: all that the key may read)")
    parser.add_argument("--format", "--to", choices=FORMATS, default="jsonl", help="default: %(default)s")
    parser.add_argument(
        "--filter",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="such as participants.userId=ada or createdAfter=2026-01-01T00:00:00Z; may be repeated",
    )
    parser.add_argument("--keep-formulas", action="store_true", help="in csv, no apostrophe before formulas")
    parser.add_argument("--no-metadata", action="store_true", help="leave all metadata out")
    _add_parts(parser, "that gets the large parts of the messages (formats jsonl and ledger)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", required=True, help="- is the standard output")
    parser.set_defaults(run=_export)


def _add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "import",
        help="bring conversations in from a file",
        description="Bring in a file, which is recognised by what it holds: ChatGPT's or Claude's export, LibreChat's, "
        "Open WebUI's, LobeChat's or Cortex's, ShareGPT, OpenAI's or LangChain's messages, or what `annals export` "
        "wrote (plain, gzip or zip). A file of any size is sent in parts; sending it again completes it and stores "
        "nothing twice.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="- is the standard input")
    parser.add_argument(
        "--from",
        choices=["agno"],
        dest="framework",
        help="FILE is the SQLite file of an agents' framework, or dynamodb for its tables there (needs the framework)",
    )
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="leave out conversations that cannot be read or stored, and name them (default: import none then)",
    )
    parser.add_argument("--dry-run", action="store_true", help="store nothing, and say what would be imported")
    parser.add_argument("--json", action="store_true", help="print the report as one line of JSON")
    _add_service(parser)
    _add_parts(parser, "that holds the large parts of the messages, as an export wrote them")
    owners = parser.add_argument_group("whose the conversations of other apps are")
    owners.add_argument("--memory-space", metavar="ID", dest="memory_space_id")
    owners.add_argument("--user", metavar="ID", dest="user_id")
    owners.add_argument("--agent", metavar="ID", dest="agent_id")
    parser.set_defaults(run=_import)


def _add_cost(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "cost",
        help="what a month costs on AWS",
        description="Compute what a turn, a search, a gigabyte and an idle month cost, from measured capacity units "
        "and list prices in USD. Needs neither a service nor a network.",
    )
    parser.add_argument("--turns", type=float, default=1_000_000, help="a month (%(default)d)")
    parser.add_argument("--turn-kb", type=float, default=1.0, help="size of a turn (%(default)g)")
    parser.add_argument(
        "--with-keys", type=float, default=0.0, help="share of bare Idempotency-Keys, 0 to 1 (%(default)g)"
    )
    parser.add_argument("--searches", type=float, default=100_000, help="a month (%(default)d)")
    parser.add_argument("--stored-gb", type=float, default=10.0, help="what the ledger holds (%(default)g)")
    parser.add_argument("--wakes", type=float, default=0.0, help="how often a month the index is woken (%(default)g)")
    parser.add_argument("--ocus", type=float, default=0.0, help="average capacity of the index, in OCU (%(default)g)")
    parser.add_argument("--alarms", type=float, default=24, help="alarms of the stack (%(default)d)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--set",
        metavar="NAME=NUMBER",
        action="append",
        default=[],
        help="another price or measure, such as million_wcu=0.70 or append_ms=18; a wrong name lists them all",
    )
    parser.set_defaults(run=_cost)


def _add_rebuild(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "rebuild",
        help="make what is derived from the tables anew",
        description="Make the conversations' heads, the search index, or what leads to people's things, anew from the "
        "tables. The index is built beside the one in service and then takes its place; interrupted and started again, "
        "it goes on where it was. "
        "Settings are the functions' own, from the environment (docs/search-index.md).",
    )
    parser.add_argument("what", choices=("heads", "index", "people"))
    parser.add_argument(
        "--beside", metavar="NAME", default="", help="the index in service, where the new one gets another name"
    )
    parser.add_argument("--restart", action="store_true", help="drop what was begun before")
    ahead_help = "after a restore: first drop the heads that know more than the ledger holds"
    parser.add_argument("--drop-ahead", action="store_true", help=ahead_help)
    parser.set_defaults(run=_rebuild)


def _add_drift(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "drift",
        help="compare the search index with the tables",
        description="Count the documents that the search index lacks, holds otherwise, or holds though the tables "
        "don't. Exit code 0 if there are none, or if all were repaired; 1 if not.",
    )
    parser.add_argument("--repair", action="store_true", help="index, or remove, what is off")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.set_defaults(run=_drift)


def _add_redrive(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    url = os.environ.get("FAILURES_QUEUE_URL")
    parser = commands.add_parser(
        "redrive",
        help="work off a queue of what the functions could not do",
        description="Index again what the messages of the streams' queue of failures speak of, as the tables are now; "
        "store the events of the ingest function's. A message is deleted when its work has succeeded; messages of "
        "another kind are left alone. Settings are the functions' own, from the environment.",
    )
    queue_help = "the stack's output StreamFailuresUrl or IngestFailuresUrl (default: FAILURES_QUEUE_URL)"
    parser.add_argument("--queue", metavar="URL", default=url, required=not url, help=queue_help)
    parser.set_defaults(run=_redrive)


def _add_parts(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--parts", type=Path, metavar="DIR", help=f"folder {what}")


def _add_service(parser: argparse.ArgumentParser) -> None:
    url, key = os.environ.get("ANNALS_URL"), os.environ.get("ANNALS_KEY")
    url_help = "such as http://127.0.0.1:8000 (default: ANNALS_URL)"
    parser.add_argument("--url", metavar="URL", default=url, required=url is None, help=url_help)
    parser.add_argument("--key", metavar="KEY", default=key, required=key is None, help="default: ANNALS_KEY")


def _dev(options: argparse.Namespace) -> int:
    from annals.cli.serving import run

    return run(port=options.port, data=options.data, workers=options.workers, events=options.events)


def _sandbox(options: argparse.Namespace) -> int:
    from annals.cli.serving import run_sandbox

    return run_sandbox(options.settings)


def _verify(options: argparse.Namespace) -> int:
    from annals.cli.verifying import run

    return run(options.file, options.head, options.parts)


def _export(options: argparse.Namespace) -> int:
    use_client()
    from annals.cli.exporting import Export, run

    export = Export(
        options.format,
        options.conversation,
        dict(_parse_filter(text) for text in options.filter),
        with_metadata=not options.no_metadata,
        keep_formulas=options.keep_formulas,
    )
    run(options.url, options.key, export, options.output, options.parts)
    return 0


def _import(options: argparse.Namespace) -> int:
    use_client()
    if options.framework:
        return _import_framework(options)
    from annals.cli.importing import Import, run

    named = {name: getattr(options, name) for name in ("memory_space_id", "user_id", "agent_id")}
    owners = {name: value for name, value in named.items() if value is not None}
    wanted = Import(options.file, owners, options.skip_broken, options.dry_run, options.json, options.parts)
    run(options.url, options.key, wanted)
    return 0


def _import_framework(options: argparse.Namespace) -> int:
    from annals.cli.framework_importing import run_agno

    if options.skip_broken or options.parts or options.user_id or options.agent_id:
        raise CommandFailed("--from goes with --memory-space, --dry-run and --json alone: the file says all else.")
    return run_agno(
        options.url,
        options.key,
        options.file,
        options.memory_space_id,
        dry_run=options.dry_run,
        as_json=options.json,
    )


def _cost(options: argparse.Namespace) -> int:
    from annals.cli.costing import Month, run

    names = ("turns", "turn_kb", "with_keys", "searches", "stored_gb", "ocus", "wakes", "alarms")
    return run(Month(**{name: getattr(options, name) for name in names}), options.set, as_json=options.json)


def _rebuild(options: argparse.Namespace) -> int:
    from annals.cli.rebuilding import run_heads, run_index, run_people

    if options.what == "heads":
        return run_heads(drop_ahead=options.drop_ahead)
    if options.what == "people":
        return run_people()
    return run_index(beside=options.beside, restart=options.restart)


def _drift(options: argparse.Namespace) -> int:
    from annals.cli.rebuilding import run_drift

    return run_drift(repair=options.repair, as_json=options.json)


def _redrive(options: argparse.Namespace) -> int:
    from annals.cli.rebuilding import run_redrive

    return run_redrive(options.queue)


def _parse_filter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CommandFailed(f"--filter takes NAME=VALUE, not {text!r}")
    return name, value
