"""A takeover is a higher epoch of the same model in the same region; what is new to us is none."""

from modelcast.dashboard.view.overview import Overview
from modelcast.dashboard.view.takeovers import takeovers_of
from modelcast.schemas.statuses import Limits
from tests.dashboard.makers import NOW, row, state


def test_a_takeover_is_seen_where_the_epoch_rises() -> None:
    shown = Overview(Limits())
    first = state("fraud", [row("eu", owner_epoch=3), row("us", owner_epoch=1), row("ap", owner_epoch=0)])
    assert takeovers_of(shown.models.get("fraud"), first, NOW) == ()
    shown.take(first, NOW, NOW, "kafka")
    again = state("fraud", [row("eu", owner_epoch=5), row("us", owner_epoch=1), row("ap", owner_epoch=1), row("sa")])
    (found,) = takeovers_of(shown.models["fraud"], again, NOW + 1)
    assert (found.model, found.region, found.epoch, found.times, found.at_us) == ("fraud", "eu", 5, 2, NOW + 1)
