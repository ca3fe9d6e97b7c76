"""The application: what the feed tells is kept here, and drawn by the screens."""

from typing import ClassVar

from textual.app import App

from modelcast.cli.top.feeds import Feed
from modelcast.cli.top.screens import ModelScreen, NowScreen
from modelcast.cli.top.shown import NowShown


class TopApp(App[None]):
    """See the package.

    Args:
        feed: where what is shown comes from.
    """

    TITLE = "modelcast top"
    ENABLE_COMMAND_PALETTE = False
    CSS: ClassVar[str] = """
    #problems, #regions { height: 1fr; border: none; }
    #matrix { height: 1fr; }
    #verdict, #counts, #model, #why { padding: 0 0 1 0; }
    .old #problems, .old #regions, .old #verdict { text-opacity: 60%; }
    """

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.feed = feed
        self.now: NowShown | None = None
        self.away = ""

    def on_mount(self) -> None:
        """Begin."""
        self.push_screen(NowScreen())
        self.run_worker(self.feed.run(self.receive), exclusive=False)

    def receive(self, now: NowShown | None, away: str) -> None:
        """Take what the feed tells."""
        changed = now is not None and (self.now is None or _content(now) != _content(self.now))
        self.now, self.away = now or self.now, away
        if changed and isinstance(self.screen, NowScreen):
            self.screen.draw()
        elif changed and isinstance(self.screen, ModelScreen):
            self.screen.look()


def _content(now: NowShown) -> object:
    return now.revision, now.verdict, now.fresh.missing, now.fresh.kafka, now.fresh.stale
