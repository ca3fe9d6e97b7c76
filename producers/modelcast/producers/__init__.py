"""What a training job or an operator calls to say something."""

from modelcast.producers.publication import Publication, PublishProgress, Unannounced
from modelcast.producers.publisher import Publisher

__all__ = ["Publication", "PublishProgress", "Publisher", "Unannounced"]
