"""Every Celery setting. Queues, routes and the beat schedule come from the catalogue; the reasons stand beside the rest."""

from kombu import Exchange, Queue

from foundation.settings import settings
from tasks.catalogue import DELIVER, PRUNE, REPAIR, UPKEEP_QUEUE, all_queues, catalogue, queue_of
from tasks.vocabulary import Priority

_queue, _redis = settings().queue, settings().redis

broker_url = _redis.url
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # never give up: the default ends the worker after 100
broker_channel_error_retry = True  # a full or read-only Redis must not end the worker
broker_pool_limit = 10
broker_transport_options = {
    "visibility_timeout": 7200,  # redelivery is the second net; the lease in the ledger is the first and much faster
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_timeout": _redis.worker_seconds,  # without it one half-open connection freezes a worker for good
    "socket_connect_timeout": _redis.publish_seconds,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "queue_order_strategy": "round_robin",
}

task_queues = [Queue(name, Exchange(name), routing_key=name) for name in all_queues()]  # objects: Flower reads their names
task_routes = {name: {"queue": queue_of(name)} for name in [*catalogue(), REPAIR, PRUNE, DELIVER]}
task_create_missing_queues = False
task_default_queue = UPKEEP_QUEUE
task_default_priority = Priority.NORMAL.step  # a message without priority would be served first
task_serializer = "json"
accept_content = ["json"]
result_backend = None  # the ledger is the truth
task_ignore_result = True
task_acks_late = True
task_reject_on_worker_lost = False  # a poison task would loop; the ledger counts crashes and stops
task_acks_on_timeout = True
task_publish_retry_policy = {"max_retries": 0}  # a refused publish takes milliseconds; switching retries off instead takes 6 s
task_send_sent_event = False

worker_prefetch_multiplier = 1
worker_disable_prefetch = True  # an urgent chunk waits for nothing but a free process
worker_cancel_long_running_tasks_on_connection_loss = False  # finishing needs no Redis
worker_proc_alive_timeout = 60
worker_max_tasks_per_child = 500
worker_max_memory_per_child = 1_500_000  # KB, a guard against leaks
worker_send_task_events = False  # `cadmill up` turns events on when Flower is there to see them
worker_hijack_root_logger = False

enable_utc = True
beat_max_loop_interval = max(1.0, _queue.tick_seconds)
beat_schedule = {
    REPAIR: {
        "task": REPAIR,
        "schedule": _queue.tick_seconds,
        "options": {"queue": UPKEEP_QUEUE, "expires": max(5.0, 2 * _queue.tick_seconds), "priority": Priority.URGENT.step},
    },
    PRUNE: {"task": PRUNE, "schedule": 3600.0, "options": {"queue": UPKEEP_QUEUE, "expires": 1800.0}},
}
