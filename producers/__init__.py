"""What a training job or an operator calls to say something."""

from modelcast.producers.commands import Commander
from modelcast.producers.publication import Publication, PublishProgress, Unannounced
from modelcast.producers.publisher import Publisher

__all__ = ["Commander", "Publication", "PublishProgress", "Publisher", "Unannounced"]
