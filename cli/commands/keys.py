"""``modelcast keys …``: who may say what in the registry, and the keys that say it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from modelcast.cli.configured import load, origin_registry, warnings_only
from modelcast.cli.console import Format, emit, say
from modelcast.cli.options import Output, Yes, confirm
from modelcast.schemas.errors import NotFound, UsageError
from modelcast.schemas.names import check_model

if TYPE_CHECKING:
    from securesystemslib.signer import Signer, SSlibKey
    from tuf.api.metadata import Targets

    from modelcast.infra.settings import Settings

keys = typer.Typer(no_args_is_help=True, help="Who may publish and command, and the keys that sign it.")

PATH_PARTS = 4
PolicyOption = Annotated[
    list[str], typer.Option("--policy", help="A key that signs the policy: file:PATH or env:NAME; repeatable.")
]
OnlineOption = Annotated[list[str], typer.Option("--online", help="A key that says what is newest; repeatable.")]


def register(app: typer.Typer) -> None:
    """Add ``keys`` to the command line."""
    app.add_typer(keys, name="keys")


@keys.command()
def new(
    path: Annotated[Path, typer.Argument(help="Where the private key is to lie, as in train.pem.", show_default=False)],
    output: Output = Format.table,
) -> None:
    """Make an Ed25519 key. It is encrypted where trust.passphrase is set (MODELCAST_TRUST__PASSPHRASE)."""
    signing_keys = _library()
    made = signing_keys.new_key(path, load().trust.passphrase.get_secret_value())
    emit({"keyid": made.keyid, "path": path}, output, Text(f"{path}: key {made.keyid}"))


@keys.command()
def init(
    root: Annotated[list[str], typer.Option("--root", help="A key of the root: file:PATH or env:NAME; repeatable.")],
    policy: PolicyOption,
    online: OnlineOption,
    threshold: Annotated[int, typer.Option(min=1, help="So many of the root's, and of the policy's, must sign.")] = 1,
    yes: Yes = False,
    output: Output = Format.table,
) -> None:
    """Begin trust: write a root and an empty policy into the origin store, and say what regions pin.

    A daemon that pins the root obeys only what the policy allows: `modelcast keys floor` says that a log's history
    until now is right, `modelcast keys grant` who may go on.
    """
    signing_keys = _library()
    from modelcast.infra.stores.configured import origin_store
    from modelcast.infra.trust.policy_files import PolicyKeys, begin
    from modelcast.schemas.digests import sha256_of

    settings = load()
    store = origin_store(settings)
    opened = [[signing_keys.open_key(uri, {}, _secret(settings)) for uri in each] for each in (root, policy, online)]
    confirm(f"Begin trust in {store.name}?", yes=yes)
    body = begin(store, PolicyKeys(*opened), now=datetime.now(UTC), threshold=threshold)
    pinned = sha256_of(body)
    emit({"root": pinned}, output, Text(f'[trust]\nroot = "{pinned}"'))


@keys.command()
def grant(
    role: Annotated[str, typer.Argument(help="The role's name, as in training; one that is there is replaced.")],
    paths: Annotated[list[str], typer.Argument(help="What it may say, as in 'publish/fraud/*/*' 'command/*/*/eu'.")],
    key: Annotated[
        list[str],
        typer.Option("--key", help="A key of the role: file:PATH (its public part will do), env:NAME; repeatable."),
    ],
    policy: PolicyOption,
    online: OnlineOption,
    threshold: Annotated[int, typer.Option(min=1, help="So many of its keys must sign.")] = 1,
    terminating: Annotated[
        bool, typer.Option("--terminating", help="Roles after it are not asked about what it covers.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Let keys publish or command.

    publish/MODEL/immediate|staged/REGION, command/VERB/MODEL/REGION; * is any, and ~all as a region is all of them.
    """
    signing_keys = _library()
    from modelcast.infra.trust.policy_files import grant_role
    from modelcast.schemas.trust.policy import TrustRole

    settings = load()
    public = [signing_keys.public_of(uri, _secret(settings)) for uri in key]
    by_id: dict[str, SSlibKey] = {each.keyid: each for each in public}
    made = TrustRole(role, frozenset(by_id), threshold, tuple(_path(each) for each in paths), terminating)
    ids = ", ".join(each[:12] for each in by_id)
    confirm(f"Let {threshold} of {ids} say {', '.join(made.paths)}?", yes=yes)
    _change(settings, policy, online, lambda targets: grant_role(targets, made, by_id))


@keys.command()
def revoke(
    keyid: Annotated[str, typer.Argument(help="The key's id, or how it begins; `modelcast keys list` has them.")],
    policy: PolicyOption,
    online: OnlineOption,
    yes: Yes = False,
) -> None:
    """Take a key out of the policy; what the logs hold now stays, for the policy then names their history."""
    from modelcast.infra.trust.configured import policy_reader
    from modelcast.infra.trust.policy_files import revoke_key, set_floor

    settings = _ready()
    reader = origin_registry(settings)
    today = policy_reader(settings, reader.store).current().policy
    named = [each for each in today.keys if each.startswith(keyid)]
    if len(named) != 1:
        what = f"{len(named)} keys of the policy begin so" if named else "no key of the policy begins so"
        raise NotFound(what, subject=keyid, hint="modelcast keys list")
    floors = _floors(settings, reader.models())
    confirm(f"Take {named[0][:12]} out of the policy, after what {len(floors)} log(s) hold now?", yes=yes)

    def edit(targets: "Targets") -> None:
        revoke_key(targets, named[0])
        for model, floor in floors.items():
            set_floor(targets, model, floor)

    _change(settings, policy, online, edit)


@keys.command()
def floor(
    models: Annotated[list[str], typer.Argument(help="The models, as in fraud.", show_default=False)],
    policy: PolicyOption,
    online: OnlineOption,
    yes: Yes = False,
) -> None:
    """Say that a log's history until now is right, whoever wrote it: what was published before there was trust."""
    from modelcast.infra.trust.policy_files import set_floor

    settings = _ready()
    floors = _floors(settings, [check_model(model) for model in models], believe=True)
    for model, found in floors.items():
        say(f"{model}: up to generation {found.generation}, {found.digest}")
    confirm("Is this their history?", yes=yes)

    def edit(targets: "Targets") -> None:
        for model, found in floors.items():
            set_floor(targets, model, found)

    _change(settings, policy, online, edit)


@keys.command()
def renew(policy: PolicyOption, online: OnlineOption) -> None:
    """Sign the policy anew, unchanged, before it expires."""
    _change(_ready(), policy, online, lambda targets: None)


@keys.command()
def rotate(
    root: Annotated[list[str], typer.Option("--root", help="A key of today's root; repeatable, as many as it takes.")],
    new_root: Annotated[
        list[str] | None, typer.Option("--new-root", help="A key of the next root's; all of them. Else as it is.")
    ] = None,
    policy: Annotated[list[str] | None, typer.Option("--policy", help="A key of today's policy; repeatable.")] = None,
    new_policy: Annotated[list[str] | None, typer.Option("--new-policy", help="As --new-root, of the policy.")] = None,
    online: Annotated[list[str] | None, typer.Option("--online", help="Today's online key; repeatable.")] = None,
    new_online: Annotated[
        list[str] | None, typer.Option("--new-online", help="As --new-root, of what is newest.")
    ] = None,
    threshold: Annotated[
        int | None, typer.Option(min=1, help="So many of the root's, and of the policy's, must sign from now on.")
    ] = None,
    yes: Yes = False,
    output: Output = Format.table,
) -> None:
    """Write the next root: other keys for it, for the policy or for what is newest, or the same for two years more.

    Nobody pins anything anew: who has pinned the first root follows. Where keys of the policy or the online key change,
    the old ones sign along (--policy, --online), unless they are lost.
    """
    from modelcast.infra.stores.configured import origin_store
    from modelcast.infra.trust.policy_changes import rotate_root
    from modelcast.infra.trust.policy_files import PolicyKeys

    settings = _ready()
    today, after = (
        PolicyKeys(*(_opened(settings, uris or []) for uris in each))
        for each in ((root, policy, online), (new_root, new_policy, new_online))
    )
    pinned, store = _pinned(settings), origin_store(settings)
    confirm(f"Write the next root into {store.name}?", yes=yes)
    version = rotate_root(store, pinned, today, after, now=datetime.now(UTC), threshold=threshold)
    emit({"version": version}, output, Text(f"root {version} is in force: what is pinned stays as it is"))


@keys.command("list")
def list_policy(output: Output = Format.table) -> None:
    """The policy: roles in the order in which they are asked, their keys, and when it expires."""
    from modelcast.infra.trust.configured import policy_reader

    settings = _ready()
    today = policy_reader(settings, origin_registry(settings).store).current().policy
    table = Table("ROLE", "SIGN", "KEYS", "MAY SAY", box=None)
    for role in today.roles:
        ids = " ".join(sorted(keyid[:12] for keyid in role.keyids))
        paths = " ".join(role.paths) + (", and nobody else after it" if role.terminating else "")
        table.add_row(role.name, f"{role.threshold} of {len(role.keyids)}", ids, paths)
    expires = datetime.fromtimestamp(today.expires_us / 1e6, UTC)
    say(f"policy {today.version}, good until {expires:%Y-%m-%d}, pinned root {settings.trust.root[:19]}…")
    for model, found in sorted(today.floors.items()):
        say(f"history of {model} up to generation {found.generation} is {found.digest[:19]}…")
    emit(today, output, table)


def _path(text: str) -> str:
    kind, parts = text.split("/", 1)[0], text.count("/") + 1
    if kind not in ("publish", "command") or parts != PATH_PARTS:
        hint = "publish/MODEL/immediate|staged/REGION, command/VERB/MODEL/REGION; * for any"
        raise UsageError(f"{text!r} is no path", hint=hint)
    return text


def _library() -> Any:
    try:
        from modelcast.infra.trust import signing_keys
    except ModuleNotFoundError as error:
        raise UsageError(f"keys need {error.name!r}", hint="pip install 'modelcast[trust]'") from None
    warnings_only()
    return signing_keys


def _ready() -> "Settings":
    _library()
    return load()


def _secret(settings: "Settings") -> str:
    return settings.trust.passphrase.get_secret_value()


def _floors(settings: "Settings", models: list[str], *, believe: bool = False) -> dict[str, Any]:
    """What each log holds now, verified by today's policy, or as it is where a person says that it is right."""
    from modelcast.infra.registry.reader import RegistryReader
    from modelcast.schemas.trust.policy import Floor

    reader = origin_registry(settings)
    if believe:
        reader = RegistryReader(reader.store)
    logs = {model: reader.tail(model).log for model in models}
    if unknown := sorted(model for model, log in logs.items() if not log.head):
        raise NotFound("the registry holds no such model", subject=", ".join(unknown), hint="modelcast get models")
    return {model: Floor(log.head, log.digest_at(log.head)) for model, log in logs.items()}


def _change(settings: "Settings", policy: list[str], online: list[str], edit: "Callable[[Targets], None]") -> None:
    from modelcast.infra.stores.configured import origin_store
    from modelcast.infra.trust.policy_changes import change
    from modelcast.infra.trust.policy_files import PolicyKeys

    holders = PolicyKeys([], _opened(settings, policy), _opened(settings, online))
    version = change(origin_store(settings), _pinned(settings), holders, edit, now=datetime.now(UTC))
    say(f"policy {version} is in force: who pins the root reads it within 5 minutes, or when an entry needs it")


def _opened(settings: "Settings", uris: list[str]) -> "list[Signer]":
    signing_keys = _library()
    return [signing_keys.open_key(uri, {}, _secret(settings)) for uri in uris]


def _pinned(settings: "Settings") -> str:
    """What is signed is first verified from it: else whoever writes to the store has his own policy signed."""
    if not settings.trust.root:
        hint = "set trust.root to what `modelcast keys init` said (MODELCAST_TRUST__ROOT)"
        raise UsageError("no root of trust is pinned", hint=hint)
    return settings.trust.root
