"""What a terminal shows of what comes: the board, its table, one list."""

import orjson
from rich.console import Console, RenderableType

from stream import topics
from stream.outputs import Gone, read_output
from stream.watch import USERS, Board, list_table, table
from tests.outputs import AT_MS, a_list, an_interest


def take(board: Board, user_id: str, value: bytes, topic: str = topics.RECOMMENDATIONS) -> None:
    board.take(topic, read_output(topic, user_id.encode(), value), AT_MS)


def of(*items: str) -> list[dict[str, object]]:
    return [{"item_id": item, "rank": rank, "score": 0.5, "because": []} for rank, item in enumerate(items, 1)]


def shown(renderable: RenderableType) -> str:
    console = Console(width=140)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_who_came_last_stands_first_with_what_is_new_in_the_list() -> None:
    board = Board()
    take(board, "a", a_list("a", items=of("boots", "jam")))
    assert board.rows["a"].new == set(), "a first list is new as a whole"
    take(board, "b", a_list("b", stage="warm", n_events=77))
    take(board, "a", a_list("a", items=of("jam", "honey")))
    assert (list(board.rows), board.rows["a"].new) == (["b", "a"], {"honey"})
    text = shown(table(board, 10))
    assert "3 lists, 0 vectors of 2 users; Ctrl-C ends" in text
    assert text.index("jam honey") < text.index("warm")
    assert "77" in text
    assert "warm" not in shown(table(board, 1))


def test_a_vector_tells_how_far_it_moved_and_not_across_models() -> None:
    board = Board()
    take(board, "u", an_interest(vector=[1, 0, 0], user_id="u"), topics.INTERESTS)
    assert board.rows["u"].moved is None
    take(board, "u", an_interest(vector=[0.6, 0.8, 0.0], user_id="u"), topics.INTERESTS)
    assert round(board.rows["u"].moved or 0, 6) == 0.4
    assert "0.400" in shown(table(board, 10))
    take(board, "u", an_interest(vector=[0.6, 0.8, 0.0], user_id="u", model="m-2"), topics.INTERESTS)
    assert board.rows["u"].moved is None


def test_who_is_forgotten_goes_and_the_board_is_bounded() -> None:
    board = Board()
    for number in range(USERS + 5):
        take(board, f"u{number}", a_list(f"u{number}"))
    assert len(board.rows) == USERS
    assert "u4" not in board.rows
    board.take(topics.RECOMMENDATIONS, Gone("u5"), AT_MS)
    assert "u5" not in board.rows


def test_ids_are_shown_as_they_are() -> None:
    board = Board()
    take(board, "[bold]u", a_list("[bold]u", items=of("[red]i")))
    text = shown(table(board, 5)) + shown(list_table(orjson.loads(a_list("[bold]u", items=of("[red]i")))))
    assert text.count("[bold]u") == text.count("[red]i") == 2


def test_a_list_in_words_says_whose_how_and_why() -> None:
    text = shown(list_table(orjson.loads(a_list())))
    for part in (
        "u-17: cold, 9 events, the newest of 2025-11-25 03:33:20Z, by m-1",
        "i-1050-10",
        "e-5 (0.21)",
        "0.100",
    ):
        assert part in text
