"""One example of each command, at the end of its help."""

from collections.abc import Mapping
from types import MappingProxyType

import typer

EXAMPLES: Mapping[str, str] = MappingProxyType(
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
        "diff": "modelcast diff fraud/7 fraud/8",
        "inspect": "modelcast inspect fraud@champion -o json",
        "pull": "modelcast pull fraud/7 ./fraud-7",
        "plan": "modelcast plan fraud/7 --region eu --link 100Mbit",
        "activate": "modelcast activate fraud/7 --region eu --wait",
        "rollback": "modelcast rollback fraud --to 6 --reason 'false alarms' --wait",
        "pin": "modelcast pin fraud/7 --region eu --reason 'audit until Friday'",
        "unpin": "modelcast unpin fraud --region eu",
        "pause": "modelcast pause fraud --reason 'change freeze'",
        "resume": "modelcast resume fraud",
        "reload": "modelcast reload fraud --region eu",
        "quarantine": "modelcast quarantine fraud/7 --reason 'trained on wrong labels'",
        "release": "modelcast release fraud/7 --reason 'labels were right'",
        "alias": "modelcast alias fraud/7 champion",
        "registry accept": "modelcast registry accept fraud --reason 'restored from the backup of Monday'",
        "registry restore-id": "modelcast registry restore-id",
        "run region": "modelcast run region eu",
        "run tracker": "modelcast run tracker",
        "run dashboard": "modelcast run dashboard",
        "run pod": "modelcast run pod --name eu-0 --region eu --port 8080 --cache-dir /var/cache/modelcast",
        "run companion": "modelcast run companion --kind triton --name eu-0 --region eu --server grpc://127.0.0.1:8001",
        "topics": "modelcast topics --create --replication 3",
        "config show": "modelcast config show -o yaml",
        "doctor": "modelcast doctor --only store --role publisher",
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
"""By the words of the command."""


def add_examples(app: typer.Typer, before: str = "") -> None:
    """Put its example, and where exit codes stand, below the help of each command of ``app``.

    Raises:
        KeyError: a command has no example.
    """
    for command in app.registered_commands:
        name = str(command.name or getattr(command.callback, "__name__", ""))
        command.epilog = f"Example: {EXAMPLES[before + name]}\n\nExit codes: modelcast --help"
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_examples(group.typer_instance, f"{before}{group.name} ")
