"""What a publication would do, found out by reading alone."""

from modelcast.producers.intent import read_intent
from modelcast.producers.origin import Origin
from modelcast.producers.publication import Course, Publication, Request, decide
from modelcast.schemas.errors import NotFound
from modelcast.schemas.log import ModelLog


def rehearse(origin: Origin, request: Request) -> Publication:
    """What would happen, by reading alone."""
    try:
        registry_id = origin.open_registry(create=False)
        log, intent = origin.together(
            [lambda: origin.model_log(request.model), lambda: read_intent(origin.store, request.intent_key)]
        )
    except NotFound:
        registry_id, log, intent = "", ModelLog(request.model, ""), None
    decision = decide(log, request, intent.event_id if intent else None)
    exists = decision.course is Course.ANNOUNCE
    standing = next((u for u in log.updates.values() if u.generation == decision.generation), None)
    return Publication(
        model=request.model,
        version=standing.version if standing else request.version or log.next_version,
        generation=decision.generation if exists else log.head + 1,
        event_id=intent.event_id if intent else "",
        manifest_digest=request.artifact.manifest_digest,
        created=not exists or decision.completes,
        announced=False,
        registry_id=registry_id,
        activation=request.activation,
        size_bytes=request.artifact.size_bytes,
        file_count=request.artifact.file_count,
        framework=request.artifact.framework,
        dry_run=True,
    )
