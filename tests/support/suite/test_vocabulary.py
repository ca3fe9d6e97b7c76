"""Settings, metrics, command line, plans and map use one vocabulary, and none of its retired words."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
import yaml

from modelcast.cli.main import app
from modelcast.dashboard.web.openapi import document
from modelcast.infra.settings import Settings
from modelcast.schemas.evidence.gates import AnalysisPlan, OutcomeGate, PredictionGate, PredictionMeasure
from modelcast.schemas.traffic.steps_and_gates import PlanStep, RolloutPlan, Strategy, encode_plan
from tests.support.suite.vocabulary import (
    LABELS,
    ONE_THING,
    RETIRED,
    ROOT,
    declared_names,
    glossary,
    metric_calls,
    parts_of,
    settings_keys,
    sources,
)

OWN_WORDS_MAX = 25


def typed(group: Any) -> Iterator[str]:
    """Every command and option as people type them."""
    for name, command in getattr(group, "commands", {}).items():
        yield name
        yield from typed(command)
    for each in getattr(group, "params", ()):
        yield from (*each.opts, *each.secondary_opts)


def answered(document: Any) -> Iterator[str]:
    """Every path, parameter and field of the API."""
    yield from document["paths"]
    for path in document["paths"].values():
        yield from (each["name"] for verb in path.values() for each in verb.get("parameters", ()))
    for schema in document["components"]["schemas"].values():
        yield from schema.get("properties", ())


def planned() -> Iterator[str]:
    """Every field of a rollout's plan."""
    predictions = (PredictionGate(PredictionMeasure.EMPTY, 0.1, 0.2),)
    gates = AnalysisPlan(outcomes=(OutcomeGate("ctr"),), predictions=predictions)
    plan = RolloutPlan(Strategy.CANARY, (PlanStep(10_000, 60),), gates=gates)
    yield from re.findall(r'"(\w+)":', encode_plan(plan))


def alert_names() -> Iterator[str]:
    for file in ("alerts.yml", "rules.yml"):
        for group in yaml.safe_load((ROOT / "infra/monitoring" / file).read_text())["groups"]:
            for rule in group["rules"]:
                yield re.sub("([a-z])([A-Z])", r"\1 \2", rule.get("alert") or rule["record"])


def retired(names: Iterator[str]) -> dict[str, set[str]]:
    return {name: found for name in names if (found := parts_of(name) & RETIRED.keys())}


def test_the_readers_find_what_they_look_for() -> None:
    assert {name for name, _ in metric_calls()} >= {"modelcast_loads", "modelcast_skew", "modelcast_model_pairs"}
    assert {"dashboard.late_seconds", "regions.fleet", "publish.deltas"} <= set(settings_keys(Settings))
    assert {"publish", "--reason", "dead-letters"} <= set(typed(typer.main.get_command(app)))
    assert {"/api/v1/models", "status", "aspired_version"} <= set(answered(document()))
    assert {"steps", "alpha_harmful", "tolerated", "acceptable_rate"} <= set(planned())
    assert len(glossary()) > 15


def test_every_label_of_a_metric_is_in_one_list() -> None:
    used = {label: name for name, labels in metric_calls() for label in labels}
    new = {label: used[label] for label in used.keys() - LABELS.keys()}
    assert new == {}, "use a label of LABELS (tests/support/suite/vocabulary.py), or add one that names another thing"
    assert LABELS.keys() - used.keys() == set()


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(lambda: (name for name, _ in metric_calls()), id="metrics"),
        pytest.param(lambda: (label for _, labels in metric_calls() for label in labels), id="labels"),
        pytest.param(lambda: settings_keys(Settings), id="settings"),
        pytest.param(lambda: typed(typer.main.get_command(app)), id="command line"),
        pytest.param(lambda: answered(document()), id="API"),
        pytest.param(planned, id="plans"),
        pytest.param(alert_names, id="alerts"),
    ],
)
def test_no_retired_word_is_used(names: Any) -> None:
    assert retired(names()) == {}, "RETIRED (tests/support/suite/vocabulary.py) has the words to use instead"


@pytest.mark.parametrize("word", ONE_THING)
def test_a_word_names_one_thing(word: str) -> None:
    thing, places = ONE_THING[word]
    named = [(at, name) for at, name in declared_names() if word in parts_of(name)]
    assert named
    assert [(at, name) for at, name in named if not at.startswith(places)] == [], f"{word} is {thing}"


@pytest.mark.parametrize("word", ONE_THING)
def test_what_names_one_thing_is_in_the_glossary(word: str) -> None:
    assert any(word in parts_of(each) for each in glossary())


def test_the_map_has_few_words_of_our_own() -> None:
    assert len(glossary()) <= OWN_WORDS_MAX


def test_every_word_of_the_glossary_is_used_in_the_code() -> None:
    code = "\n".join(path.read_text().lower().replace("_", " ") for path in sources())
    assert [word for word in glossary() if not re.search(rf"\b{re.escape(word)}", code)] == []
