"""What a publication would do, found out by reading alone."""

from modelcast.producers.log_refusal import refused
from modelcast.producers.origin import Origin
from modelcast.producers.planning.publication import Announce, Claim, Conflict, entry_of, plan_publication
from modelcast.producers.planning.request import PublishRequest
from modelcast.producers.planning.standing import standing_notes, unserved_notes
from modelcast.producers.publication import Publication
from modelcast.producers.publish.intent import read_intent
from modelcast.schemas.errors import NotFound
from modelcast.schemas.log.fold import ModelLog


def dry_run(origin: Origin, request: PublishRequest) -> Publication:
    """What publishing ``request`` would come to; nothing is written.

    Raises:
        Refused: it would be.
    """
    try:
        registry_id = origin.open_registry(create=False)
        log, intent = origin.together(
            [lambda: origin.model_log(request.model), lambda: read_intent(origin.store, request.intent_key)]
        )
    except NotFound:
        registry_id, log, intent = "", ModelLog(request.model, ""), None
    plan = plan_publication(log, request, intent.event_id if intent else None)
    if isinstance(plan, Conflict):
        raise refused(origin.reader, request.model, plan)
    return Publication(
        model=request.model,
        version=plan.version,
        generation=plan.generation,
        event_id=intent.event_id if intent else "",
        manifest_digest=request.artifact.manifest_digest,
        created=not isinstance(plan, Announce) or plan.completes,
        announced=False,
        registry_id=registry_id,
        activation=request.activation,
        size_bytes=request.artifact.size_bytes,
        file_count=request.artifact.file_count,
        framework=request.artifact.framework,
        dry_run=True,
        notes=_notes(log, request, plan),
    )


def _notes(log: ModelLog, request: PublishRequest, plan: Announce | Claim) -> tuple[str, ...]:
    if isinstance(plan, Announce):
        return standing_notes(log, log.updates[plan.version], request)
    entry = entry_of(request, plan, registry_id=log.registry_id, event_id="", now_us=0)
    return unserved_notes(log.apply(entry), entry)
