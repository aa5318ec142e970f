"""A loop's pulse: silence counts from its last turn, and never while it rests."""

from stream.pulse import Pulse


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_silence_counts_from_the_last_turn() -> None:
    clock = Clock()
    pulse = Pulse("loop", clock)
    pulse.beat()
    clock.now += 3
    assert pulse.silent_s == 3
    pulse.beat()
    assert pulse.silent_s == 0


def test_who_rests_is_never_silent() -> None:
    clock = Clock()
    pulse = Pulse("loop", clock)
    clock.now += 1_000
    assert pulse.silent_s == 0
    with pulse.turning():
        clock.now += 5
        assert pulse.silent_s == 5
    clock.now += 1_000
    assert pulse.silent_s == 0


def test_work_that_raises_leaves_a_loop_at_rest() -> None:
    clock = Clock()
    pulse = Pulse("loop", clock)
    try:
        with pulse.turning():
            raise KeyError
    except KeyError:
        clock.now += 9
    assert pulse.silent_s == 0
