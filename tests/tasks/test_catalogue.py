"""The catalogue, and what is computed from it."""

from __future__ import annotations

import subprocess
import sys

from foundation import keyspace
from tasks.catalogue import DELIVER, PRUNE, REPAIR, all_queues, catalogue
from tasks.vocabulary import FLAT_SLOTS, SOLID_SLOTS, Family, FeatureVersion, slot_names
from tests.stack import ROOT


def ask(program: str, **variables: str) -> str:
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=True)
    return told.stdout.strip()


def test_there_are_four_tasks_and_a_probe_only_when_asked_for() -> None:
    program = "from tasks.catalogue import catalogue; print(*catalogue())"
    assert ask(program) == "extraction similarity migration prewarm"
    assert ask(program, CADMILL_PROBE="1") == "extraction similarity migration prewarm probe"


def test_every_task_has_a_handler_a_queue_and_a_route() -> None:
    import celeryconfig
    from workers.handlers import HANDLERS

    assert set(catalogue()) <= set(HANDLERS)
    assert [queue.name for queue in celeryconfig.task_queues] == all_queues()
    assert {name: route["queue"] for name, route in celeryconfig.task_routes.items()} == {
        **{name: name for name in catalogue()}, REPAIR: "upkeep", PRUNE: "upkeep", DELIVER: "webhooks",
    }  # fmt: skip


def test_celery_is_a_doorbell_and_nothing_more() -> None:
    import celeryconfig

    assert celeryconfig.result_backend is None
    assert celeryconfig.accept_content == ["json"]
    assert celeryconfig.worker_prefetch_multiplier == 1
    assert celeryconfig.task_acks_late
    assert celeryconfig.task_default_priority == 6
    assert "queue_order_strategy" in celeryconfig.broker_transport_options
    assert celeryconfig.broker_transport_options["socket_timeout"] > 1
    assert all("expires" in entry["options"] for entry in celeryconfig.beat_schedule.values())


def test_the_steps_are_kombus_own_defaults_so_that_everybody_agrees() -> None:
    from kombu.transport.redis import PRIORITY_STEPS, Channel

    assert tuple(PRIORITY_STEPS) == keyspace.STEPS
    assert Channel.sep == keyspace.SEPARATOR
    assert Channel.unacked_key == keyspace.UNACKED


def test_feature_versions_are_nested_prefixes_of_24_names() -> None:
    assert [version.width for version in FeatureVersion] == [8, 16, 22, 24]
    for family, names in ((Family.SOLID, SOLID_SLOTS), (Family.FLAT, FLAT_SLOTS)):
        assert len(set(names)) == 24
        for version in FeatureVersion:
            assert slot_names(family, version) == names[: version.width]
        assert names[22:] == ("surface_count", "shape_entropy")
