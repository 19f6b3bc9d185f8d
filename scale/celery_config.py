"""Celery's settings on a worker: Airflow's own, and what each task imports is imported once, before they are forked.

Each machine has a copy of this file, and `[celery] celery_config_options` names it.
"""

from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG

#: What staging on S3 imports beside it.
_STORE_MODULES = ("airflow.providers.amazon.aws.fs.s3", "airflow.providers.amazon.aws.log.s3_task_handler", "s3fs")

CELERY_CONFIG = {**DEFAULT_CELERY_CONFIG, "imports": ["dynamics_sync.preload", *_STORE_MODULES]}
