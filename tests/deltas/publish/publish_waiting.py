"""``producers/publish/publish_large.py``, whose announcement waits for the first deltas, begun beside the upload."""

import sys

from modelcast.deltas.publish import publication
from tests.producers.publish.publish_large import main

if __name__ == "__main__":
    publication.deltas_awaited, publication.PATIENCE_SECONDS = (lambda whole, offers, links: 1), 120.0
    main(*sys.argv[1:])
