"""The table of verbs: every verb stands in it, and all that goes by it knows every verb."""

import inspect
from dataclasses import replace
from string import Formatter

import pytest
import typer

from modelcast.cli import examples
from modelcast.cli.commands import operate
from modelcast.producers.commands import Commander
from modelcast.schemas.log.verbs import RULES, Rule
from modelcast.schemas.records import CommandKind

VERBS = list(RULES.items())
SIMPLE_VERBS = [(kind, rule) for kind, rule in VERBS if not rule.stands_alone]  # others have commands of their own
KNOWN_IN_QUESTIONS = {"model", "version", "goal", "alias", "where"}


def test_every_verb_has_a_rule() -> None:
    assert set(RULES) == set(CommandKind)


@pytest.mark.parametrize(("kind", "rule"), VERBS)
def test_a_rule_is_complete(kind: CommandKind, rule: Rule) -> None:
    assert rule.help.endswith(".")
    assert rule.question.endswith("?")
    assert {name for _, name, _, _ in Formatter().parse(rule.question) if name} <= KNOWN_IN_QUESTIONS
    assert rule.change_region or rule.change_log or rule.change_rollout, "it changes something"
    if rule.serves or rule.takes_alias:
        assert rule.takes_version
    if rule.serves and not rule.stands_alone:
        assert rule.by_region


@pytest.mark.parametrize(("kind", "rule"), SIMPLE_VERBS)
def test_a_verb_is_a_command_whose_arguments_fit_its_rule(kind: CommandKind, rule: Rule) -> None:
    app = typer.Typer()
    operate.register(app)
    command = next(c for c in app.registered_commands if c.name == kind.lower())
    assert command.callback is not None
    takes = set(inspect.signature(command.callback).parameters)
    assert command.help == rule.help
    assert {"reason", "yes", "dry_run", "output"} <= takes
    assert ("region" in takes) == rule.by_region
    assert ("version" in takes or "to" in takes) == rule.takes_version
    assert ("wait" in takes) == rule.serves


@pytest.mark.parametrize("kind", [kind for kind, _ in SIMPLE_VERBS])
def test_a_verb_is_a_method_for_python_callers(kind: CommandKind) -> None:
    assert callable(getattr(Commander, kind.lower()))


def test_a_new_verb_is_a_command_with_its_example_by_its_rule_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = replace(RULES[CommandKind.PAUSE], help="Stay.", example="modelcast freeze fraud")
    monkeypatch.setattr(operate, "RULES", {**RULES, "FREEZE": rule})
    monkeypatch.setattr(examples, "RULES", {**RULES, "FREEZE": rule})
    app = typer.Typer()
    operate.register(app)
    examples.add_examples(app)
    command = next(c for c in app.registered_commands if c.name == "freeze")
    assert command.help == "Stay."
    assert rule.example in str(command.epilog)
