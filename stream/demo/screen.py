"""Beside the line: the demo's board on a terminal, or as plain lines.

Knows nothing of Kafka; shows what the board knows and changes nothing.
"""

from collections.abc import Callable

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stream.demo.board import Board, Listed, Row, Watched

FRAMES = 8  # A second. A frame costs some 15 ms of the one Python that also reads the lists.
ROWS = 8
WIDE = 64  # Columns of a panel from which a reason fits beside its item.
ROWS_PLAIN = 3
PLAIN_EVERY_S = 3.0  # At most one list of each watched user in so long: a watchable pace for lines, too.


def plain_lines(listed: Listed) -> list[str]:
    """A list in words: who did what, how long it took, and the best items with their reasons."""
    took = "" if listed.ms is None else f" -> {listed.ms:.0f} ms"
    lines = [f"{listed.label} {listed.told}{took}, {listed.stage}:"]
    for row in listed.rows[:ROWS_PLAIN]:
        because = f", because {row.because}" if row.because else ""
        lines.append(f"    {row.rank}. {row.title}{because}")
    return lines


class Screen:
    """A live screen, or plain lines where there is no terminal.

    Args:
        page: the shop page's address.
        say: takes a plain line.
        console: the terminal.
    """

    def __init__(
        self,
        board: Board,
        bootstrap: str,
        page: str,
        *,
        plain: bool,
        say: Callable[[str], None] = print,
        console: Console | None = None,
    ) -> None:
        self._board, self._bootstrap, self._page, self._plain, self._say = board, bootstrap, page, plain, say
        self._console = console or Console()
        self._live: Live | None = None
        self._drawn_s = float("-inf")
        self._said_s: dict[str, float] = {}

    def start(self) -> None:
        """Takes the terminal over."""
        if not self._plain:
            self._live = Live(self.frame(0.0), console=self._console, auto_refresh=False, screen=True)
            self._live.start()

    def stop(self) -> None:
        """Gives the terminal back, the last frame left standing above the prompt."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            self._console.print(self.frame(self._drawn_s))

    def listed(self, listed: Listed, now_s: float) -> None:
        """A list arrived."""
        if not self._plain or listed.user_id not in self._board.watched:
            return
        if now_s - self._said_s.get(listed.user_id, float("-inf")) >= PLAIN_EVERY_S:
            self._said_s[listed.user_id] = now_s
            for line in plain_lines(listed):
                self._say(line)

    def tick(self, now_s: float) -> None:
        """Draws a frame if one is due."""
        if self._live is not None and now_s - self._drawn_s >= 1 / FRAMES:
            self._drawn_s = now_s
            self._live.update(self.frame(now_s), refresh=True)

    def frame(self, now_s: float) -> RenderableType:
        """The whole screen."""
        board = self._board
        p50, p99 = board.quantile_ms(0.5), board.quantile_ms(0.99)
        head = Text.assemble(
            ("firstclick ", "bold"),
            f"{board.events} events, {board.lists} lists, {len(board.users)} users, {board.rejected} rejected",
            "" if p50 is None else f"; event to list p50 {p50:.0f} ms, p99 {p99:.0f} ms",
        )
        foot = Text.assemble(
            "shop in the browser: ",
            (self._page, "bold"),
            (f"     firstclick watch --bootstrap {self._bootstrap}     Ctrl-C ends", "dim"),
        )
        width = (self._console.width - 1) // 2
        panels = Columns([_panel(user, width) for user in board.watched.values()], width=width, padding=0)
        return Group(head, panels, foot)


def _panel(user: Watched, width: int) -> Panel:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=1)
    table.add_column(ratio=1, no_wrap=True)
    if width >= WIDE:
        table.add_column(ratio=1, no_wrap=True, style="dim")
    listed = user.last
    for row in listed.rows[:ROWS] if listed is not None else ():
        because = Text(f"because {row.because}" if row.because else "", style="dim")
        if width >= WIDE:
            table.add_row(_moved(row), row.title, because)
        elif row.rank <= ROWS // 2:  # Half the items, each with its reason on a line of its own.
            table.add_row(_moved(row), row.title)
            table.add_row("", because)
    said = "waiting" if listed is None else listed.stage
    took = "" if listed is None or listed.ms is None else f", {listed.ms:.0f} ms"
    acts = Text("\n".join(f"· {act}" for act in user.acts) or "· nothing yet", style="cyan", no_wrap=True)
    return Panel(Group(acts, table), title=user.label, subtitle=f"{said}{took}", width=width, height=ROWS + 5)


def _moved(row: Row) -> Text:
    if row.before is None:
        return Text("+", style="green")
    if row.before == row.rank:
        return Text(" ")
    return Text("^", style="green") if row.before > row.rank else Text("v", style="red")
