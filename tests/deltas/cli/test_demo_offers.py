"""What the demo takes for a delta of a publication."""

from dataclasses import replace

from modelcast.cli.demo.offered import Offered
from modelcast.deltas.publish.reports import DeltaOffer
from modelcast.producers.publication import Publication

MIB = 1024 * 1024
MADE = DeltaOffer(1, 1, MIB, 68 * MIB, 68.0, 1.0)


def test_a_compressed_whole_is_no_delta_and_notes_are_kept() -> None:
    offers = (MADE, replace(MADE, base_version=0))
    done = Publication("m", 2, 2, "e", "sha256:0", created=True, announced=True, notes=("a", "b"), additions=offers)
    assert Offered.by(done) == Offered(True, (MADE,), "a; b")
    assert Offered.by(None) == Offered()
