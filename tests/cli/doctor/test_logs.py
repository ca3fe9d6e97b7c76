"""What `doctor` finds in logs: over stores in memory, each entry read as everybody reads it."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from modelcast.cli.doctor import logs
from modelcast.cli.doctor.checks import Check, Result
from modelcast.infra.registry.claim import Claimed, claim
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import RegionSettings, Settings, StoreSettings
from modelcast.infra.stores import MemoryStore, configured
from modelcast.schemas import keys
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.ports import ObjectInfo, StoredObject
from modelcast.schemas.records import ArtifactRef, ModelUpdate
from modelcast.schemas.region_memory import Contradiction, Memory

STORE = StoreSettings(url="s3://anywhere")
SETTINGS = Settings(stores={"origin": STORE}, regions={"eu": RegionSettings(store=STORE)})
DIGEST = "sha256:" + "ab" * 32
Found = Callable[[], dict[str, tuple[Result, str]]]


def update(log: ModelLog) -> ModelUpdate:
    artifact = ArtifactRef("origin", keys.manifest(DIGEST), DIGEST, 10, 1, "onnx")
    number = log.head + 1
    return ModelUpdate(log.registry_id, f"e{number}", log.model, number, number, artifact, 1)


def publish(reader: RegistryReader, log: ModelLog) -> ModelLog:
    claimed = claim(reader, log, f"e{log.head + 1}", update)
    assert isinstance(claimed, Claimed)
    return claimed.log


@pytest.fixture
def origin() -> MemoryStore:
    return MemoryStore("origin")


@pytest.fixture
def eu() -> MemoryStore:
    return MemoryStore("eu")


@pytest.fixture
def fraud(origin: MemoryStore, eu: MemoryStore) -> ModelLog:
    """Forty entries, of which eu accepted all."""
    reader = RegistryReader(origin)
    reader.registry_id(create=True)
    log = reader.open_log("fraud")
    for _ in range(40):
        log = publish(reader, log)
    accepts(eu, log, 40)
    return log


def accepts(eu: MemoryStore, log: ModelLog, generation: int) -> Memory:
    memory = Memory(log.registry_id, log.model, "eu", 1, "w", generation, log.digest_at(generation))
    eu.put(keys.region_state(log.model), memory.encode())
    return memory


@pytest.fixture
def found(origin: MemoryStore, eu: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Found:
    monkeypatch.setattr(configured, "origin_store", lambda settings: origin)
    monkeypatch.setattr(configured, "region_store", lambda settings, name: eu)

    def run() -> dict[str, tuple[Result, str]]:
        (unit,) = logs.units(SETTINGS)
        checks: list[Check] = list(unit.look())
        return {check.subject: (check.result, check.detail) for check in checks}

    return run


def test_sound_logs_are_told_in_one_line(fraud: ModelLog, found: Found) -> None:
    told = "40 entries in 1 of 1 log(s) follow one another, and are what eu accepted"
    assert found() == {"logs": (Result.ok, told)}


@pytest.mark.parametrize("generation", [1, 17, 40])
def test_any_entry_with_a_flipped_bit_is_named(
    fraud: ModelLog, origin: MemoryStore, found: Found, generation: int
) -> None:
    key = keys.log_entry("fraud", generation)
    stored = origin.get(key, size_max=10**6)
    assert stored is not None
    body = bytearray(stored.body)
    body[len(body) // 2] ^= 1
    origin.put(key, bytes(body))
    result, told = found()["log of fraud"]
    assert (result, key in told) == (Result.error, True)
    assert found()["log of fraud in eu"][0] is Result.error
    assert found()["logs"][0] is Result.warning


def test_a_missing_entry_and_a_shorter_log_are_told_apart(fraud: ModelLog, origin: MemoryStore, found: Found) -> None:
    stored = origin.get(keys.log_entry("fraud", 40), size_max=10**6)
    origin.delete(keys.log_entry("fraud", 40))
    assert "log of fraud" not in found()
    assert "it ends at generation 39" in found()["log of fraud in eu"][1]
    assert stored is not None
    origin.put(keys.log_entry("fraud", 40), stored.body)
    origin.delete(keys.log_entry("fraud", 39))
    assert "ends at generation 38, although" in found()["log of fraud"][1]


def test_a_log_that_was_rewritten_whole_differs_from_what_a_region_accepted(
    fraud: ModelLog, origin: MemoryStore, found: Found
) -> None:
    for generation in range(1, 41):
        origin.delete(keys.log_entry("fraud", generation))
    reader = RegistryReader(origin)
    log = reader.open_log("fraud")
    for _ in range(41):
        changed = replace(update(log), publisher="somebody else", event_id=f"f{log.head + 1}")
        claimed = claim(reader, log, changed.event_id, lambda _, changed=changed: changed)  # type: ignore[misc]
        assert isinstance(claimed, Claimed)
        log = claimed.log
    result, told = found()["log of fraud in eu"]
    assert result is Result.error
    assert told.startswith("ALARM: accepted generation 40 as ")
    assert fraud.digest_at(40)[7:19] in told
    assert log.digest_at(40)[7:19] in told


def test_a_log_that_is_gone_is_known_to_the_region_that_obeyed_it(
    fraud: ModelLog, origin: MemoryStore, eu: MemoryStore, found: Found
) -> None:
    accepts(eu, replace(fraud, model="gone"), 40)
    assert found()["log of gone in eu"][0] is Result.error


def test_what_a_region_stopped_at_is_told_even_if_the_log_agrees_again(
    fraud: ModelLog, eu: MemoryStore, found: Found
) -> None:
    memory = accepts(eu, fraud, 39)
    contradiction = Contradiction(40, fraud.digest_at(40), "an entry is gone")
    eu.put(keys.region_state("fraud"), replace(memory, contradiction=contradiction).encode())
    assert found()["log of fraud in eu"] == (Result.warning, "ALARM: an entry is gone")
    lost = replace(contradiction, generation=41)
    eu.put(keys.region_state("fraud"), replace(memory, contradiction=lost).encode())
    assert found()["log of fraud in eu"][0] is Result.error


def test_what_is_published_and_accepted_while_a_log_is_walked_is_no_alarm(
    fraud: ModelLog, eu: MemoryStore, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked = logs._walked

    def goes_on_meanwhile(reader: RegistryReader, model: str) -> tuple[ModelLog, list[Check]]:
        result = walked(reader, model)
        accepts(eu, publish(reader, fraud), 41)
        return result

    monkeypatch.setattr(logs, "_walked", goes_on_meanwhile)
    assert found()["logs"][0] is Result.ok


def test_a_long_walk_says_how_far_it_is(
    fraud: ModelLog, found: Found, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "ENTRIES_TOLD", 16)
    found()
    assert "32 entries read" in capsys.readouterr().err


def test_a_walk_has_an_end(fraud: ModelLog, found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "ENTRIES_MAX", 32)
    assert found()["log of fraud"] == (Result.warning, "only its first 32 entries were read")


class Away(MemoryStore):
    """Answers ``answers`` requests, then none."""

    answers = 0

    def _answer(self) -> None:
        if self.answers == 0:
            raise StoreUnavailable("no answer", subject=self.name)
        self.answers -= 1

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        self._answer()
        return super().get(key, size_max=size_max)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        self._answer()
        return super().list(prefix, start_after=start_after)


@pytest.mark.parametrize("answers", [0, 1])
def test_a_region_that_is_away_is_named_and_all_logs_are_walked(
    fraud: ModelLog,
    origin: MemoryStore,
    eu: MemoryStore,
    found: Found,
    monkeypatch: pytest.MonkeyPatch,
    answers: int,
) -> None:
    ap = Away("ap")
    ap.answers = answers
    stores = {"ap": ap, "eu": eu}
    monkeypatch.setattr(configured, "region_store", lambda settings, name: stores[name])
    monkeypatch.setitem(SETTINGS.regions, "ap", RegionSettings(store=STORE))
    checks = found()
    (away,) = [subject for subject, (result, _) in checks.items() if result is Result.unreachable]
    assert "in ap" in away
    assert checks["logs"] == (Result.ok, "40 entries in 1 of 1 log(s) follow one another, and are what eu accepted")
    ap.answers = answers
    origin.delete(keys.log_entry("fraud", 17))
    checks = found()
    assert checks["log of fraud"][0] is Result.error
    assert checks["logs"] == (Result.warning, "16 entries in 0 of 1 log(s) follow one another")


def test_before_the_first_publication_there_is_nothing_to_look_at(found: Found) -> None:
    assert found()["logs"][0] is Result.skipped
