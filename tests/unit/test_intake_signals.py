"""Step 0, as operators see it: rebalances, and what waits in Kafka; with the scripted consumer."""

import pytest

from tests.unit.test_intake import CLICKS, World


def test_rebalances_are_told_by_what_they_did() -> None:
    world = World("clicks")
    heard: list[str] = []
    world.intake.on_rebalance = heard.append
    world.assigns(CLICKS)
    world.consumer.play(lambda c: c.revoked(CLICKS))
    world.assigns(CLICKS)
    world.consumer.play(lambda c: c.lost(CLICKS))
    assert heard == ["assigned", "revoked", "assigned", "lost"]
    assert world.lane.partitions == []
    world.intake.stop()


@pytest.mark.parametrize(("committed", "lag"), [({}, 6), ({"clicks": 9}, 1), ({"clicks": 10}, 0)])
def test_what_waits_in_kafka_counts_from_the_commit_or_where_there_is_none_from_the_logs_beginning(
    committed: dict[str, int], lag: int
) -> None:
    world = World("clicks")
    world.consumer.watermarks = 4, 10
    world.assigns(CLICKS, **committed)
    waiting = world.intake.lag()
    world.consumer.play(lambda _: [])
    assert waiting.result(5) == {CLICKS: lag}
    world.intake.stop()
