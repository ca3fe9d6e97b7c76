"""One example of each command, at the end of its help."""

from collections.abc import Mapping
from types import MappingProxyType

import typer

from modelcast.schemas.log.verbs import RULES
from modelcast.schemas.records import CommandKind

_OTHERS: Mapping[str, str] = MappingProxyType(
    {
        "demo": "modelcast demo --json summary.json",
        "up": "modelcast up --regions eu,us --pods 3",
        "down": "modelcast down --delete-data",
        "publish": "modelcast publish fraud ./model --metric auc=0.93 --wait",
        "get": "modelcast get fraud --watch",
        "describe": "modelcast describe fraud/7",
        "top": "modelcast top --url http://dashboard.example:9470",
        "wait": "modelcast wait fraud/7 --level quorum --timeout 10m",
        "history": "modelcast history fraud --last 20",
        "audit": "modelcast audit fraud --since 30d",
        "diff": "modelcast diff fraud/7 fraud/8",
        "inspect": "modelcast inspect fraud@champion -o json",
        "pull": "modelcast pull fraud/7 ./fraud-7",
        "plan": "modelcast plan fraud/7 --region eu --link 100Mbit",
        "registry restore-id": "modelcast registry restore-id",
        "keys new": "modelcast keys new train.pem",
        "keys init": "modelcast keys init --root file:root.pem --policy file:policy.pem --online file:online.pem",
        "keys grant": "modelcast keys grant training 'publish/fraud/*/*' --key file:train.pem "
        "--policy file:policy.pem --online file:online.pem",
        "keys revoke": "modelcast keys revoke 3f1c9a --policy file:policy.pem --online file:online.pem",
        "keys floor": "modelcast keys floor fraud --policy file:policy.pem --online file:online.pem",
        "keys renew": "modelcast keys renew --policy file:policy.pem --online file:online.pem",
        "keys rotate": "modelcast keys rotate --root file:root.pem --new-root file:root-2.pem",
        "keys list": "modelcast keys list",
        "run region": "modelcast run region eu",
        "run tracker": "modelcast run tracker",
        "run dashboard": "modelcast run dashboard",
        "run pod": "modelcast run pod --name eu-0 --region eu --port 8080 --cache-dir /var/cache/modelcast",
        "run companion": "modelcast run companion --kind triton --name eu-0 --region eu --server grpc://127.0.0.1:8001",
        "topics": "modelcast topics --create --replication 3",
        "config show": "modelcast config show -o yaml",
        "doctor": "modelcast doctor --only store --role publisher",
        "rollout switch": "modelcast rollout switch fraud --at 09:30 --reason 'before the market opens'",
        "rollout get": "modelcast rollout get fraud --watch",
        "rollout explain": "modelcast rollout explain fraud",
        "rollout replay": "modelcast rollout replay fraud",
        "outcome": "modelcast outcome fraud ctr 1 --version 8 --id order-17",
        "load": "modelcast load fraud --rate 50 --for 1m --key header:x-user --expect 7 --expect 8",
        "run rollouts": "modelcast run rollouts",
        "rollout forecast": "modelcast rollout forecast --requests-per-second 200 --error-rate 0.5% --share 1%",
        "dead-letters list": "modelcast dead-letters list --last 10",
        "dead-letters show": "modelcast dead-letters show 42",
        "dead-letters replay": "modelcast dead-letters replay 42 --reason 'the reader is mended' --dry-run",
        "regions forget": "modelcast regions forget ap --reason 'closed in June'",
        "delta make": "modelcast delta make model-6.onnx model-7.onnx 6-7.delta",
        "delta apply": "modelcast delta apply model-6.onnx 6-7.delta model-7.onnx",
        "delta info": "modelcast delta info 6-7.delta",
        "delta publish": "modelcast delta publish fraud/7 --from 5",
    }
)
"""Of commands that are no verbs; those have their examples in their rules (``RULES``)."""
_OWN_NAMES = {CommandKind.ACCEPT: "registry accept", CommandKind.ROLLOUT_STEP: "rollout skip"}
"""Of verbs whose command is not called as they are."""


def examples() -> dict[str, str]:
    """All examples, by the words of the command."""
    verbs = {_OWN_NAMES.get(kind, kind.lower().replace("_", " ")): rule.example for kind, rule in RULES.items()}
    return {**verbs, **_OTHERS}


def add_examples(app: typer.Typer, before: str = "") -> None:
    """Put its example, and where exit codes stand, below the help of each command of ``app``.

    Raises:
        KeyError: a command has no example.
    """
    known = examples()
    for command in app.registered_commands:
        name = str(command.name or getattr(command.callback, "__name__", ""))
        command.epilog = f"Example: {known[before + name]}\n\nExit codes: modelcast --help"
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_examples(group.typer_instance, f"{before}{group.name} ")
