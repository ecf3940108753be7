"""Django's settings, and those of django-rq."""

import os

SECRET_KEY = "of a test"  # noqa: S105
DEBUG = True
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "tests.ecosystem.shop.urls"
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.messages",
    "django.contrib.sessions", "django_rq", "taskq.contrib.django",
]  # fmt: skip
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SHOP_DATABASE"]}}
RQ_QUEUES = {name: {"URL": os.environ.get("RQ_REDIS_URL", "redis://nowhere")} for name in ("default", "high")}
RQ = {"JOB_CLASS": "tests.ecosystem.shop.jobs.ShopJob", "WORKER_CLASS": "tests.ecosystem.shop.jobs.ShopWorker"}
RQ_EXCEPTION_HANDLERS = ["tests.ecosystem.shop.tasks.note"]
