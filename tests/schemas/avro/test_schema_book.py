"""Records of other versions of the software: their schemas are learned, checked and resolved to today's."""

import json
from copy import deepcopy
from dataclasses import fields
from typing import Any

import pytest

from modelcast.schemas.avro import schema_book
from modelcast.schemas.avro.schema_book import SchemaBook
from modelcast.schemas.avro.schema_guard import parse_schema
from modelcast.schemas.avro.schema_nodes import canonical, fingerprint_hex
from modelcast.schemas.codec import MARKER, decode, encode, writer_schema
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import DecodeError, UnknownSchema
from modelcast.schemas.records import Activation, ModelAck, ModelUpdate
from modelcast.schemas.states import PodState, State
from tests.schemas.avro.foreign_schemas import EXTRAS, field, learn, todays, with_every_kind_of_field, written
from tests.support.records import example_records
from tests.support.records.forged_schemas import forged_schema

EXAMPLES = {path.stem: path for path in example_records.json_files()}
FULL = EXAMPLES["ModelUpdate.v1.full"]
THREE_PODS = EXAMPLES["ModelAck.v1.three-pods"]


def _refusal(schema: Any, fingerprint: str | None = None) -> DecodeError:
    text = schema if isinstance(schema, str) else json.dumps(schema)
    with pytest.raises(DecodeError) as refused:
        SchemaBook().add(fingerprint or fingerprint_hex(parse_schema(text)), text)
    assert refused.value.reason == "bad-schema"
    return refused.value


@pytest.mark.parametrize("path", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_a_record_of_a_newer_writer_is_read_without_what_is_new(path: Any) -> None:
    book = SchemaBook()
    schema = with_every_kind_of_field(path.name.split(".")[0])
    body = written(schema, example_records.plain_of(path) | deepcopy(EXTRAS))
    assert decode(learn(book, schema) + body, book=book) == example_records.record_of(path)


def test_every_cut_and_excess_of_a_newer_writers_record_is_malformed() -> None:
    book = SchemaBook()
    schema = with_every_kind_of_field("ModelAck")
    data = learn(book, schema) + written(schema, example_records.plain_of(THREE_PODS) | deepcopy(EXTRAS))
    for damaged in [*(data[:end] for end in range(10, len(data))), data + b"\0"]:
        with pytest.raises(DecodeError) as refused:
            decode(damaged, book=book)
        assert refused.value.reason == "malformed"


@pytest.mark.parametrize(
    "example",
    [
        "ModelUpdate.v1.full",
        "ModelCommand.v1.pin",
        "ModelAck.v1.three-pods",
        "RegionHeartbeat.v1.draining",
        "VersionState.v1.one-region-behind",
    ],
)
def test_a_record_of_an_older_writer_takes_defaults_for_what_it_lacks(example: str) -> None:
    book = SchemaBook()
    schema = todays(example.split(".", maxsplit=1)[0])
    whole = example_records.record_of(EXAMPLES[example])
    lacking = {f["name"]: f["default"] for f in schema["fields"] if "default" in f}
    assert lacking
    schema["fields"] = [f for f in schema["fields"] if f["name"] not in lacking]
    record = decode(learn(book, schema) + written(schema, example_records.plain_of(EXAMPLES[example])), book=book)
    for one in fields(record):
        got = getattr(record, one.name)
        if one.name in lacking:
            assert (list(got) if isinstance(got, tuple) else got) == lacking[one.name]
        else:
            assert got == getattr(whole, one.name)


def test_unknown_symbols_become_what_claims_least() -> None:
    book = SchemaBook()
    schema = todays("ModelAck")
    field(schema, "state")["type"]["symbols"].insert(0, "DREAMING")
    pod = field(schema, "pods")["type"]["items"]
    field(pod, "state")["type"]["symbols"].append("SERVING_TWICE")
    plain = example_records.plain_of(THREE_PODS)
    plain["state"] = "DREAMING"
    plain["pods"][0]["state"] = "SERVING_TWICE"
    ack = decode(learn(book, schema) + written(schema, plain), book=book)
    assert isinstance(ack, ModelAck)
    assert ack.state is State.ANNOUNCED
    assert [pod.state for pod in ack.pods] == [PodState.PENDING, PodState.FAILED, PodState.UNREACHABLE]


def test_an_unknown_activation_means_fetch_and_wait() -> None:
    book = SchemaBook()
    schema = todays("ModelUpdate")
    field(schema, "activation")["type"]["symbols"].append("AT_NIGHT")
    plain = example_records.plain_of(FULL) | {"activation": "AT_NIGHT"}
    update = decode(learn(book, schema) + written(schema, plain), book=book)
    assert isinstance(update, ModelUpdate)
    assert update.activation is Activation.STAGED


def test_a_narrower_number_is_widened() -> None:
    book = SchemaBook()
    schema = todays("ModelUpdate")
    field(schema, "version")["type"] = "int"
    field(schema, "metrics")["type"]["values"] = "long"
    plain = example_records.plain_of(FULL) | {"metrics": {"auc": 1}}
    update = decode(learn(book, schema) + written(schema, plain), book=book)
    assert isinstance(update, ModelUpdate)
    assert update.metrics == {"auc": 1.0}
    assert isinstance(update.metrics["auc"], float)


def test_values_are_checked_whatever_the_writer_was() -> None:
    book = SchemaBook()
    schema = with_every_kind_of_field("ModelUpdate")
    plain = example_records.plain_of(FULL) | deepcopy(EXTRAS) | {"version": 0}
    with pytest.raises(DecodeError) as refused:
        decode(learn(book, schema) + written(schema, plain), book=book)
    assert refused.value.reason == "bad-value"


def test_a_schema_may_be_offered_as_it_is_or_in_canonical_form() -> None:
    text = json.dumps(with_every_kind_of_field("ModelAck"))
    node = parse_schema(text)
    for offered in (text, text.encode(), canonical(node), canonical(node).encode()):
        book = SchemaBook()
        book.add(fingerprint_hex(node), offered)
        assert fingerprint_hex(node) in book


def test_learning_in_one_book_teaches_no_other() -> None:
    schema = with_every_kind_of_field("ModelAck")
    book = SchemaBook()
    head = learn(book, schema)
    with pytest.raises(UnknownSchema):
        decode(head + b"x", book=SchemaBook())


def test_a_text_with_another_fingerprint_is_refused() -> None:
    assert "fingerprint" in str(_refusal(with_every_kind_of_field("ModelAck"), "0" * 16))


def test_a_known_schema_is_never_replaced() -> None:
    book = SchemaBook()
    fingerprint, text = writer_schema(ModelUpdate)
    forged = forged_schema(json.loads(text), fingerprint)
    assert fingerprint_hex(parse_schema(forged)) == fingerprint
    book.add(fingerprint, forged)
    assert book.find(fingerprint).text == text
    assert decode(encode(example_records.record_of(FULL)), book=book) == example_records.record_of(FULL)


def test_of_two_schemas_with_one_fingerprint_the_stated_digest_tells_which() -> None:
    fingerprint, text = writer_schema(ModelUpdate)
    forged = forged_schema(json.loads(text), fingerprint)
    book = SchemaBook(own=())
    book.add(fingerprint, forged)
    raw = encode(example_records.record_of(FULL))
    with pytest.raises(UnknownSchema, match="another one has its fingerprint"):
        decode(raw, book=book, schema_digest=sha256_of(text.encode()))
    swapped = decode(raw, book=book)
    assert isinstance(swapped, ModelUpdate)
    assert swapped != example_records.record_of(FULL), "the same bytes say something else"
    book.add(fingerprint, text)
    assert decode(raw, book=book, schema_digest=sha256_of(text.encode())) == example_records.record_of(FULL)


def test_a_schema_of_no_known_record_is_refused() -> None:
    assert "no record" in str(_refusal(todays("ModelUpdate") | {"name": "ModelRumour"}))
    assert "no record" in str(_refusal(todays("ModelUpdate") | {"namespace": "elsewhere"}))
    assert "no record" in str(_refusal('"long"'))


def test_a_schema_that_does_not_resolve_to_todays_is_refused() -> None:
    schema = todays("ModelUpdate")
    field(schema, "version")["type"] = "string"
    assert ".version" in str(_refusal(schema))


@pytest.mark.parametrize(
    "bomb",
    [
        {"type": "array", "items": "null"},
        {"type": "array", "items": {"type": "record", "name": "E", "fields": []}},
        ["null", "modelcast.ModelUpdate"],
        {"type": "array", "items": "modelcast.ModelUpdate"},
    ],
    ids=["array of null", "array of nothing", "recursion", "recursion in an array"],
)
def test_a_known_record_with_a_bomb_in_it_is_refused(bomb: Any) -> None:
    schema = todays("ModelUpdate")
    schema["fields"].append({"name": "bomb", "type": bomb, "default": None})
    _refusal(schema, "0" * 16)


def test_a_book_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_book, "FOREIGN_MAX", 3)
    book = SchemaBook()
    for number in range(3):
        learn(book, _with_one_more(number))
    with pytest.raises(DecodeError, match="more than 3"):
        learn(book, _with_one_more(3))
    assert decode(encode(example_records.record_of(FULL)), book=book) == example_records.record_of(FULL)


def _with_one_more(number: int) -> dict[str, Any]:
    schema = todays("RegionHeartbeat")
    schema["fields"].append({"name": f"added_{number}", "type": "long", "default": 0})
    return schema


def test_the_header_of_a_learned_schema_is_its_fingerprint() -> None:
    schema = _with_one_more(0)
    assert learn(SchemaBook(), schema) == MARKER + bytes.fromhex(fingerprint_hex(parse_schema(json.dumps(schema))))
