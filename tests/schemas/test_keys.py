"""Keys in a store: every kind has its own place, and log order is key order."""

from hypothesis import given
from hypothesis import strategies as st

from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from tests.support.records.record_strategies import digests, generations, model_names


@given(model_names, generations)
def test_a_log_entrys_key_tells_model_and_generation(model: str, generation: int) -> None:
    key = keys.log_entry(model, generation)
    assert key.startswith(keys.log_prefix(model))
    assert keys.parse_log_entry(key) == (model, generation)


@given(model_names, generations, generations)
def test_entries_are_listed_in_the_order_of_their_generations(model: str, one: int, other: int) -> None:
    first, second = keys.log_entry(model, one), keys.log_entry(model, other)
    assert (first < second) == (one < other)
    assert (first == second) == (one == other)


@given(model_names, model_names)
def test_one_models_log_never_lies_in_anothers_folder(one: str, other: str) -> None:
    assert keys.log_entry(one, 1).startswith(keys.log_prefix(other)) == (one == other)


@given(st.text(max_size=60))
def test_any_other_key_is_no_log_entry(text: str) -> None:
    assert keys.parse_log_entry(text) is None


def test_what_lies_beside_a_log_is_no_entry() -> None:
    key = keys.log_entry("fraud", 7)
    for other in (key[:-1], key + "0", key + "\n", "x/" + key, keys.REGISTRY_ID, keys.schema("0" * 16)):
        assert keys.parse_log_entry(other) is None


@given(model_names, digests, generations)
def test_two_kinds_of_things_never_share_a_key(model: str, digest: str, generation: int) -> None:
    places = [
        keys.REGISTRY_ID,
        keys.log_entry(model, generation),
        keys.schema(digest[7:23]),
        keys.blob(digest),
        keys.manifest(digest),
        keys.intent(model, digest),
        keys.delta(digest, digest, None),
        keys.delta(digest, digest, digest),
        keys.region_state(model),
    ]
    assert len(set(places)) == len(places)
    assert not any(part in {"", ".", ".."} for key in places for part in key.split("/"))


def test_a_model_called_schemas_keeps_its_log_apart_from_the_schemas() -> None:
    assert keys.parse_log_entry(keys.schema("0" * 16)) is None
    assert keys.log_prefix("schemas") != keys.SCHEMA_PREFIX
    assert keys.log_entry("schemas", 1).startswith(keys.REGISTRY_PREFIX)


def test_content_has_one_key_whoever_writes_it() -> None:
    assert keys.blob(sha256_of(b"x")) == keys.blob(sha256_of(bytearray(b"x")))


@given(digests, digests, digests)
def test_a_deltas_key_tells_what_it_makes_of_what(manifest: str, new: str, old: str) -> None:
    for base in (old, None):
        key = keys.delta(manifest, new, base)
        assert key.startswith(keys.delta_prefix(manifest))
        assert keys.parse_delta(key) == (manifest, new, base)
        assert keys.parse_delta(key + "0") is keys.parse_delta(key[:-1]) is None
