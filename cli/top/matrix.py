"""All pairs, a character each: a row a model, a column a region. Drawn line by line; only what is seen is drawn."""

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from modelcast.cli.top.shown import GridShown
from modelcast.schemas.statuses import LOOKS, Status
from modelcast.schemas.text.printable import printable

NAME_CELLS = 24
_STYLES = {status: Style(color=look.dark, bold=status is not Status.OK) for status, look in LOOKS.items()}
_NAME = Style(dim=True)
_THEN = Style(dim=True)


class MatrixView(ScrollView):
    """Textual's own DataTable is slow by its columns (Textualize/textual#5951)."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self._grid, self._rows, self._old = GridShown(), tuple[int, ...](), False

    def show(self, grid: GridShown, rows: tuple[int, ...], *, old: bool) -> None:
        """Draw these rows of a grid; ``old``: what was well is drawn as what it was."""
        if (grid, rows, old) == (self._grid, self._rows, self._old):
            return
        self._grid, self._rows, self._old = grid, rows, old
        self.virtual_size = Size(NAME_CELLS + len(grid.regions), len(rows))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One model: its name, which stays where it is, and the regions that are seen."""
        left, top = self.scroll_offset
        place = top + y
        if place >= len(self._rows):
            return Strip.blank(self.size.width)
        model = self._rows[place]
        name = printable(self._grid.models[model])[: NAME_CELLS - 1].ljust(NAME_CELLS)
        seen = range(left, min(left + self.size.width - NAME_CELLS, len(self._grid.regions)))
        return Strip([Segment(name, _NAME), *(self._cell(model, region) for region in seen)])

    def _cell(self, model: int, region: int) -> Segment:
        status = self._grid.status(model, region)
        if status is None:
            return Segment(" ")
        style = _THEN if self._old and status is Status.OK else _STYLES[status]
        return Segment(LOOKS[status].shape[:1] or " ", style)
