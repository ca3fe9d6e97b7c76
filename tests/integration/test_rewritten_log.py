"""A registry log that is rewritten under a running system: it is noticed, told, not obeyed, and put right."""

import pytest

from modelcast.infra.local.stack import LocalStack
from modelcast.infra.settings import Settings
from modelcast.infra.stores.configured import origin_store
from modelcast.schemas import keys
from modelcast.schemas.topics import RECORD_SIZE_MAX
from tests.support.processes.command_line import CommandLine, pods_of, predicts
from tests.support.waiting import until

pytestmark = pytest.mark.integration


def alarm(modelcast: CommandLine, model: str) -> str:
    said: str = modelcast("get", model, "-o", "json").json["state"]["alarm"]
    return said


def served(stack: LocalStack, model: str) -> set[int]:
    return {predicts(pod, model)[0] for pod in pods_of(stack.env)}


def doctor(modelcast: CommandLine, model: str, code: int) -> list[str]:
    found = modelcast("doctor", "--only", "logs", "-o", "json", code=code).json
    return [check["detail"] for check in found if model in check["subject"]]


@pytest.mark.soak
def test_an_older_copy_of_the_log_is_obeyed_only_once_a_person_accepts_it(
    modelcast: CommandLine, stack: LocalStack, settings: Settings
) -> None:
    model, store = "restored", origin_store(settings)
    modelcast("publish", model, modelcast.model(1), "--wait")
    modelcast("publish", model, modelcast.model(2), "--wait")
    modelcast("pin", f"{model}/1", "--yes", "--wait")
    store.delete(keys.log_entry(model, 3))
    modelcast("publish", model, modelcast.model(3))
    modelcast("publish", model, modelcast.model(4))
    until(lambda: {"eu", "us"} <= set(alarm(modelcast, model).replace(":", " ").split()), "both regions alarm", 90)
    assert "ALARM" in modelcast("get", "models").out
    assert f"modelcast registry accept {model}" in alarm(modelcast, model)
    assert served(stack, model) == {1}

    stack.services["region-eu"].restart()
    stack.services["tracker"].restart()
    modelcast("publish", "beside-restored", modelcast.model(5), "--wait", "--timeout", "90s")
    modelcast("publish", model, modelcast.model(6))
    assert {"eu", "us"} <= set(alarm(modelcast, model).replace(":", " ").split())
    assert served(stack, model) == {1}
    assert [line.split(" as ")[0] for line in doctor(modelcast, model, code=1)] == 2 * ["ALARM: accepted generation 3"]

    refused = modelcast("registry", "accept", model, "--yes", code=2)
    assert "--reason" in refused.err
    modelcast("registry", "accept", model, "--reason", "the store was restored", "--yes")
    modelcast("wait", f"{model}/5", "--timeout", "90s")
    until(lambda: alarm(modelcast, model) == "", "the alarm is over", 90)
    assert served(stack, model) == {5}
    assert doctor(modelcast, model, code=0) == []
    said = modelcast("history", model, "-o", "json").json[0]["entry"]
    assert (said["kind"], said["reason"], said["replaces"][0]["generation"]) == ("ACCEPT", "the store was restored", 3)
    assert "nothing to accept" in modelcast("registry", "accept", model, "--reason", "again", "--yes", code=5).err


@pytest.mark.soak
def test_an_alarm_ends_by_itself_when_the_lost_entries_are_put_back(
    modelcast: CommandLine, stack: LocalStack, settings: Settings
) -> None:
    model, store = "put-back", origin_store(settings)
    modelcast("publish", model, modelcast.model(1), "--wait")
    modelcast("publish", model, modelcast.model(2), "--wait")
    lost = store.get(keys.log_entry(model, 2), size_max=RECORD_SIZE_MAX)
    assert lost is not None
    store.delete(keys.log_entry(model, 2))
    until(lambda: alarm(modelcast, model), "it is noticed although nobody publishes", 150)
    assert "ends at generation 1" in doctor(modelcast, model, code=1)[0]
    assert served(stack, model) == {2}
    store.put(keys.log_entry(model, 2), lost.body)
    until(lambda: alarm(modelcast, model) == "", "the alarm is over", 150)
    modelcast("publish", model, modelcast.model(3), "--wait")


@pytest.mark.soak
def test_a_flipped_bit_is_found_by_doctor_and_stops_whoever_reads_the_log_next(
    modelcast: CommandLine, stack: LocalStack, settings: Settings
) -> None:
    model, store = "flipped", origin_store(settings)
    for number in (1, 2, 3):
        modelcast("publish", model, modelcast.model(number), "--wait")
    key = keys.log_entry(model, 2)
    good = store.get(key, size_max=RECORD_SIZE_MAX)
    assert good is not None
    bad = bytearray(good.body)
    bad[-20] ^= 4
    store.put(key, bytes(bad))
    (told,) = {line for line in doctor(modelcast, model, code=1) if "damaged" in line}
    assert key in told
    assert key in modelcast("history", model, code=1).err
    assert key in modelcast("publish", model, modelcast.model(4), code=1).err
    stack.services["region-us"].restart()
    until(lambda: "us" in alarm(modelcast, model), "a region that reads it anew raises alarm", 150)
    assert served(stack, model) == {3}
    store.put(key, good.body)
    until(lambda: alarm(modelcast, model) == "", "the alarm is over", 150)
    modelcast("publish", model, modelcast.model(4), "--wait")
