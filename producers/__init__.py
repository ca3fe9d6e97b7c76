"""What a training job or an operator calls to publish and to command."""

from modelcast.producers.commands import Commander
from modelcast.producers.publication import Publication, Published, PublishProgress, Unannounced
from modelcast.producers.publisher import Publisher

__all__ = [
    "Commander",
    "Publication",
    "PublishProgress",
    "Published",
    "Publisher",
    "Unannounced",
    "accelerator",
    "acceptance",
    "artifact",
    "commands",
    "identity",
    "log_refusal",
    "planning",
    "publication",
    "publisher",
    "step_timer",
    "wait",
]
