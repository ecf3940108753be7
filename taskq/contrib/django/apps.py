"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class TaskqConfig(AppConfig):
    """Has no models: all that taskq knows is in Redis."""

    name = "taskq.contrib.django"
    label = "taskq_django"
    verbose_name = "taskq"
