"""Wrong arguments: one clear message with its object and what to do, the right exit code, never a traceback."""

import os
import pty
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcast.cli.delta_extra import deltas_installed
from modelcast.infra.local.layout import inherited_env
from tests.cli.conftest import Cli


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address that nobody listens on, while the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


USAGE = [
    ("nonsense", "no such command 'nonsense'"),
    ("publsh", "Did you mean 'publish'"),
    ("publish fraud", "missing argument 'path'"),
    ("publish fraud nowhere", "nowhere: no such file or folder"),
    ("publish Fraud! .", "bad model name 'Fraud!'"),
    ("publish fraud . --version 0", "'--version'"),
    ("publish fraud . --version x", "'--version'"),
    ("publish fraud . --timeout -3s", "bad duration '-3s'"),
    ("publish fraud . --metric auc", "write --metric NAME=VALUE"),
    ("publish fraud . --metric auc=x", "write --metric NAME=NUMBER"),
    ("publish fraud . --metric auc=nan", "metrics are finite numbers"),
    ("publish fraud . --label =x", "write --label NAME=VALUE"),
    ("publish fraud . --activation later", "use immediate or staged"),
    ("publish fraud . --level some", "use all, quorum or one"),
    ("publish fraud . -o xml", "'xml' is not one of"),
    ("get models -o xml", "'xml' is not one of"),
    ("get fraud/", "write MODEL/NUMBER"),
    ("describe", "missing argument 'reference'"),
    ("describe fraud/0", "versions are whole numbers from 1"),
    ("describe fraud@", "bad alias ''"),
    ("history fraud --last 0", "'--last'"),
    ("inspect fraud/x", "bad version 'x'"),
    ("pull fraud/7", "missing argument 'folder'"),
    ("wait fraud/7 --timeout -1", "bad duration '-1'"),
    ("activate fraud", "write fraud/NUMBER or fraud@ALIAS"),
    ("pin fraud --timeout never", "bad duration 'never'"),
    ("rollback fraud --to 0", "'--to'"),
    ("rollback fraud/3", "--to"),
    ("pause fraud/3", "write fraud;"),
    ("unpin fraud@champion", "write fraud;"),
    ("quarantine fraud", "write fraud/NUMBER or fraud@ALIAS"),
    ("alias fraud/7 Bad!", "bad alias 'Bad!'"),
    ("run dashbord", "no such command 'dashbord'"),
    ("run pod --name a --region eu --port 99999", "'--port'"),
    ("topics --replication 0", "'--replication'"),
    ("doctor --only nothing", "--only takes"),
    ("doctor --role emperor", "--role takes"),
    ("publish fraud/7 .", "write fraud; --version 7 chooses the number"),
    ("publish fraud@champion .", "write fraud; `modelcast alias fraud/NUMBER champion`"),
    ("publish fraud . --version 99999999999", "versions are whole numbers from 1 to 2147483647"),
    ("activate fraud/1.5", "bad version '1.5'"),
    ("release fraud/-1", "bad version '-1'"),
    ("dead-letters show -- -1", "'offset'"),
    ("regions forget Bad!", "bad region name 'Bad!'"),
    ("dead-letters list --last 0", "'--last'"),
    ("config show -o xml", "'xml' is not one of"),
    ("plan", "missing argument 'reference'"),
    ("plan fraud/0 --region eu", "versions are whole numbers from 1"),
    ("plan fraud/1 --region eu --from 0", "'--from'"),
    ("plan fraud/1 --region eu -o xml", "'xml' is not one of"),
    ("delta make old new", "missing argument 'OUT'"),
    ("delta make . . out --threads 0", "'--threads'"),
    ("delta info d -o xml", "'xml' is not one of"),
    ("delta publish fraud/7 --from 0", "'--from'"),
    ("up --pods 0", "'--pods'"),
    ("demo --regions eu,eu", "eu,eu: a region is named twice"),
    ("demo --json nowhere/summary.json", "nowhere: no such folder to write into"),
    ("up --regions EU!", "bad region name 'EU!'"),
    ("up --regions eu-west", "eu-west: on this machine a region's name has letters and digits only"),
    ("up --regions eu,us,eu", "eu,us,eu: a region is named twice"),
    ("up --regions ,", "no region is named"),
    ("up --regions eu --pods 21", "21 pods a region"),
    ("up --nonsense", "no such option: --nonsense"),
    ("up there", "unexpected extra argument"),
    ("delta nonsense", "no such command 'nonsense'"),
    ("--config /nowhere/modelcast.toml get", "/nowhere/modelcast.toml: no such settings file"),
    ("get fraud/7", "'fraud/7' names more than a model"),
    ("get fraud@champion", "'fraud@champion' names more than a model"),
    ("get /nowhere/x", "bad model name '' in '/nowhere/x'"),
    ("history x!", "bad model name 'x!'"),
    ("publish fraud . --metric a=1 --metric a=2", "metric 'a' is given twice"),
    ("topics --replication 99999", "'--replication'"),
    ("doctor --only x!", "no such check: 'x!'"),
    ("run region EU!", "bad region name 'EU!'"),
    ("run pod --name a --region EU!", "bad region name 'EU!'"),
    ("run pod --name a/b --region eu --cache-dir c", "bad pod name 'a/b'"),
    ("run pod --name .. --region eu --cache-dir c", "bad pod name '..'"),
    ("run pod --name a --region eu --cache-dir file", "file: a file, and no folder"),
    ("run pod --name a --region eu --cache-dir c --state-dir file", "file: a file, and no folder"),
    ("run companion --kind nonsense --name a --region eu --cache-dir c", "unknown kind of server 'nonsense'"),
    ("run companion --kind folder --name a --region eu --cache-dir c", "--repository"),
    ("run companion --kind triton --command x --name a --region eu --cache-dir c", "kind triton takes no --command"),
    ("run companion --kind mlserver --gap --name a --region eu --cache-dir c", "kind mlserver takes no --gap"),
    ("run companion --kind folder --server http://a:1 --name a --region eu --cache-dir c", "takes no --server"),
    ("run pod --name a --region eu --cache-dir c --grace-seconds -1", "'--grace-seconds'"),
    ("plan fraud/1 --region EU!", "bad region name 'EU!'"),
    ("plan fraud/1 --region eu --link -1", "bad link speed '-1'"),
    ("demo --json folder", "folder: a folder, and no file to write"),
    ("demo --picture file/x.svg", "file: no such folder to write into"),
    ("demo --pods 99999999999999999999", "give it 1 to 20"),
    ("rollout forecast --requests-per-second -5 --error-rate 1%", "bad requests per second -5.0"),
    ("registry accept fraud", "needs --reason"),
    ("regions forget ap", "no reason is given"),
]
REGION = {"MODELCAST_REGIONS__EU__TOKEN": "t", "MODELCAST_REGIONS__EU__STORE__URL": "s3://eu"}


@pytest.mark.parametrize(("command", "told"), USAGE, ids=[c for c, _ in USAGE])
def test_what_makes_no_sense_is_a_usage_error(cli: Cli, tmp_path: Path, command: str, told: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    ended = cli(*command.split(), **REGION)
    assert ended.code == 2
    lines = ended.err.splitlines()
    assert any(line.startswith("error ") for line in lines)
    assert told in "\n".join(lines)
    assert lines[-1].startswith("  → ")
    assert ended.out == ""


EMPTY = [
    ("publish", "", "."), ("publish", "fraud", ""), ("get", ""), ("describe", ""), ("history", ""), ("inspect", ""),
    ("pull", "", "out"), ("pull", "fraud/7", ""), ("wait", ""), ("wait", "fraud/7", "--timeout", ""),
    ("plan", "", "--region", "eu"), ("plan", "fraud/7", "--region", ""),
    ("plan", "fraud/7", "--region", "eu", "--link", ""),
    ("activate", ""), ("activate", "fraud/7", "--region", ""), ("rollback", ""), ("pin", ""), ("unpin", ""),
    ("pause", ""), ("resume", ""), ("reload", ""), ("quarantine", ""), ("release", ""), ("alias", "", "champion"),
    ("alias", "fraud/7", ""), ("registry", "accept", ""), ("regions", "forget", ""), ("run", "region", ""),
    ("run", "pod", "--name", "", "--region", "eu"), ("run", "pod", "--name", "a", "--region", ""),
    ("run", "pod", "--name", "a", "--region", "eu", "--cache-dir", ""), ("dead-letters", "show", ""),
    ("run", "companion", "--kind", "", "--name", "a", "--region", "eu", "--cache-dir", "c"),
    ("delta", "make", "", "b", "c"), ("delta", "apply", "a", "", "c"), ("delta", "info", ""),
    ("rollout", "forecast", "--requests-per-second", "", "--error-rate", "1%"), ("config", "show", "-o", ""),
    ("topics", "--replication", ""), ("doctor", "--only", ""), ("demo", "--json", ""), ("demo", "--regions", ""),
    ("up", "--dir", ""), ("up", "--regions", ""), ("down", "--dir", ""), ("--config", "", "get"),
]  # fmt: skip


@pytest.mark.skipif(not deltas_installed(), reason="needs deltas, which tell what is wrong")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("delta", "apply", "old", "d", "out", "--digest", "sha256:xyz"), "bad digest 'sha256:xyz'"),
        (("delta", "publish", "fraud"), "which version?"),
        (("delta", "publish", ""), "bad model name ''"),
    ],
)
def test_what_makes_no_sense_to_deltas_is_a_usage_error(cli: Cli, arguments: tuple[str, ...], told: str) -> None:
    ended = cli(*arguments, **REGION)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("arguments", EMPTY, ids=" ".join)
def test_an_empty_argument_most_likely_a_variable_that_is_not_set_is_a_usage_error(
    cli: Cli, arguments: tuple[str, ...]
) -> None:
    ended = cli(*arguments, **REGION)
    assert (ended.code, ended.out) == (2, "")
    *_, error, hint = ended.err.splitlines()
    assert error.startswith("error ")
    assert "''" in error or "empty" in error or "unable to parse" in error or "no region" in error, error
    assert hint.startswith("  → ")


@pytest.mark.parametrize(
    ("command", "usage", "hint"),
    [
        ("publish fraud", "modelcast publish [OPTIONS]", "modelcast publish --help"),
        ("run pod --nonsense", "modelcast run pod [OPTIONS]", "modelcast run pod --help"),
        ("delta nonsense", "modelcast delta [OPTIONS] COMMAND [ARGS]...", "modelcast delta --help"),
        ("--nonsense", "modelcast [OPTIONS] COMMAND [ARGS]...", "modelcast --help"),
    ],
)
def test_what_the_parser_refuses_ends_with_where_help_is(cli: Cli, command: str, usage: str, hint: str) -> None:
    first, *_, last = cli(*command.split()).err.splitlines()
    assert first.startswith(f"Usage: {usage}")
    assert last == f"  → {hint}"


@pytest.mark.parametrize("command", ["", "delta", "run", "dead-letters", "config"])
def test_a_command_that_is_not_finished_shows_its_help(cli: Cli, command: str) -> None:
    ended = cli(*command.split())
    assert (ended.code, ended.err.strip()) == (2, "")
    assert f"Usage: modelcast {command}".strip() in ended.out
    assert "Commands" in ended.out


def test_who_says_no_is_told_that_nothing_was_done(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, b"n\n")
        command = [sys.executable, "-m", "modelcast.cli.main", "pause", "fraud"]
        ended = subprocess.run(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, timeout=120, check=False
        )
        told = os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert ended.returncode == 1
    assert "?" in told
    assert told.rstrip().endswith("not done")


UNSET = ["publish fraud .", "history fraud", "inspect fraud/7", "describe fraud/7", "pull fraud/7 out", "pin fraud/7",
         "activate fraud@champion", "pause fraud", "alias fraud/7 champion", "run tracker"]  # fmt: skip


@pytest.mark.parametrize("command", UNSET)
def test_without_settings_it_says_which_one_is_needed(cli: Cli, command: str) -> None:
    ended = cli(*command.split())
    assert ended.code == 1
    assert "store alias 'origin' is not set (known: none)" in ended.err
    assert "MODELCAST_STORES__ORIGIN__URL" in ended.err


@pytest.mark.parametrize("command", ["run region eu", "run pod --name a --region eu"])
def test_a_daemon_of_a_region_that_is_not_set_says_where_to_add_it(cli: Cli, command: str) -> None:
    ended = cli(*command.split())
    assert ended.code == 1
    assert "region 'eu' is not set" in ended.err
    assert "[regions.eu]" in ended.err


@pytest.mark.parametrize("kind", ["pod", "companion --kind folder"])
def test_a_pod_that_could_not_learn_what_its_region_serves_is_not_begun(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("MODELCAST_REGIONS__EU__TOKEN", "t")
    ended = cli("run", *kind.split(), "--name", "a", "--region", "eu", "--cache-dir", "c")
    assert ended.code == 2
    assert "a pod learns from its region's bucket what it must serve before it is ready" in ended.err
    assert "[regions.eu.store]" in ended.err


def test_a_port_that_is_taken_is_named(tmp_path: Path, nowhere: str) -> None:
    command = ["run", "pod", "--name", "a", "--region", "eu", "--cache-dir", "c", "--port", nowhere.rpartition(":")[2]]
    ended = subprocess.run(
        [sys.executable, "-m", "modelcast.cli.main", *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            **inherited_env(),
            "MODELCAST_REGIONS__EU__TOKEN": "t",
            "MODELCAST_REGIONS__EU__STORE__URL": "s3://eu",
        },
        timeout=150,
        check=False,
    )
    assert ended.returncode == 1
    assert f"error {nowhere}: can't listen: Address already in use" in ended.stderr
    assert "  → set --host and --port" in ended.stderr
    assert "Traceback" not in ended.stderr


SETTINGS = [
    ({"MODELCAST_REDIS__URL": "nonsense"}, "redis.url"),
    ({"MODELCAST_STORES__ORIGIN__URL": "http://x"}, "stores.origin.url"),
    ({"MODELCAST_KAFKA__TIMEOUT_SECONDS": "-1"}, "kafka.timeout_seconds"),
    ({"MODELCAST_REGIONS__eu__PODS": "not json"}, "regions"),
    ({"MODELCAST_KAFKA__NONSENSE": "1"}, "kafka.nonsense: no such setting"),
    ({"MODELCAST_KAFKA__BOOTSTRAP_SERVERS": ""}, "kafka.bootstrap_servers"),
    ({"MODELCAST_KAFKA__BOOTSTRAP_SERVERS": "a:9092,b:99999"}, "kafka.bootstrap_servers: 'b:99999' is no host:port"),
    (
        {"MODELCAST_STORES__ORIGIN__URL": "s3://b", "MODELCAST_STORES__ORIGIN__ENDPOINT_URL": "here:9000"},
        "stores.origin.endpoint_url: write http://host:port",
    ),
]


@pytest.mark.parametrize(("env", "place"), SETTINGS, ids=[place for _, place in SETTINGS])
def test_a_wrong_setting_is_named_with_its_place(cli: Cli, env: dict[str, str], place: str) -> None:
    ended = cli("config", "show", **env)
    assert ended.code == 2
    assert "error settings: " in ended.err
    assert place in ended.err
    assert ended.err.splitlines()[-1].startswith("  → ")
    assert "variable" in ended.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[kafak]\n", "error settings: kafak: no such setting"),
        ("[log]\nlevel = 'loud'\n", "error settings: log.level: "),
        ("[log\n", "error wrong.toml: "),
    ],
)
def test_a_settings_file_that_is_wrong_is_named(cli: Cli, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "wrong.toml").write_text(text)
    ended = cli("config", "show", MODELCAST_CONFIG="wrong.toml")
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
    assert "mend" in ended.err.splitlines()[-1]
    assert "wrong.toml" in ended.err


KAFKA = ["get", "describe fraud", "wait fraud/1", "topics", "topics --create", "dead-letters list",
         "dead-letters show 1", "dead-letters replay 1"]  # fmt: skip


@pytest.mark.parametrize("command", KAFKA)
def test_kafka_that_nobody_answers_for_is_named(cli: Cli, command: str, nowhere: str) -> None:
    ended = cli(
        *command.split(),
        MODELCAST_KAFKA__BOOTSTRAP_SERVERS=nowhere,
        MODELCAST_KAFKA__TIMEOUT_SECONDS="1",
        MODELCAST_REDIS__URL=f"redis://{nowhere}/0",
    )
    assert ended.code == 6
    assert f"is Kafka up at {nowhere}?" in ended.err


@pytest.mark.parametrize("command", ["topics", "dead-letters list", "dead-letters replay 1"])
@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"MODELCAST_KAFKA__PROPERTIES": '{"nonsense": "x"}'}, "kafka.properties"),
        (
            {"MODELCAST_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT", "MODELCAST_KAFKA__SASL_MECHANISM": "PLAIN"},
            "PLAIN needs kafka.sasl_username",
        ),
        (
            {"MODELCAST_KAFKA__SECURITY_PROTOCOL": "SSL", "MODELCAST_KAFKA__SSL_CA_LOCATION": "/nowhere/ca.pem"},
            "kafka.ssl_ca_location: /nowhere/ca.pem: no such file or directory",
        ),
    ],
    ids=["property", "user", "certificate"],
)
def test_kafka_settings_that_no_client_can_use_are_named(
    cli: Cli, command: str, env: dict[str, str], told: str
) -> None:
    ended = cli(*command.split(), **env)
    assert ended.code == 2
    assert told in ended.err
    assert ended.err.splitlines()[-1].startswith("  → ")


def test_a_variable_that_nobody_reads_is_told_once_and_stops_nothing(cli: Cli) -> None:
    ended = cli("config", "show", MODELCAST_KAFAK__TIMEOUT_SECONDS="1", MODELCAST_KILL_ROUNDS="1")
    assert ended.code == 0
    assert ended.err.count("MODELCAST_") == 2
    assert "note: MODELCAST_KAFAK__TIMEOUT_SECONDS is no setting and is ignored" in ended.err
    assert "did you mean MODELCAST_KAFKA__TIMEOUT_SECONDS?" in ended.err


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_output_ends_no_command(tmp_path: Path, closed: str) -> None:
    command = f"{sys.executable} -m modelcast.cli.main config show {closed}"
    ended = subprocess.run(
        command, shell=True, capture_output=True, text=True, cwd=tmp_path, env=inherited_env(), timeout=150, check=False
    )
    assert ended.returncode == 0
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_reader_that_leaves_early_is_no_traceback(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "modelcast.cli.main", "config", "show"],
            stdout=theirs, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=inherited_env(), timeout=150,
            check=False,
        )  # fmt: skip
    finally:
        os.close(theirs)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_passwords_are_not_shown(cli: Cli) -> None:
    ended = cli(
        *("config", "show"),
        MODELCAST_KAFKA__SECURITY_PROTOCOL="SASL_SSL",
        MODELCAST_KAFKA__SASL_USERNAME="me",
        MODELCAST_KAFKA__SASL_PASSWORD="hidden-1",
        MODELCAST_KAFKA__PROPERTIES='{"ssl.key.password": "hidden-2", "ssl.certificate.location": "/c.pem"}',
        MODELCAST_REDIS__URL="rediss://me:hidden-3@cache:6380/0?password=hidden-4&ssl_check_hostname=true",
        MODELCAST_STORES__ORIGIN__URL="s3://models",
        MODELCAST_STORES__ORIGIN__ENDPOINT_URL="https://me:hidden-5@store:9000",
    )
    assert ended.code == 0
    assert "hidden" not in ended.out + ended.err
    assert "rediss://me:********@cache:6380/0?password=********&ssl_check_hostname=true" in ended.out
    assert "https://me:********@store:9000" in ended.out
    assert "/c.pem" in ended.out
