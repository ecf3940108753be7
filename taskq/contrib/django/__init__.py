"""A Django app: ``INSTALLED_APPS = [..., "taskq.contrib.django"]`` brings ``manage.py taskqworker``."""
