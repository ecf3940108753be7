"""An app whose jobs are defined as Flask-RQ has it; they need the app's context."""

from __future__ import annotations

import os

from flask import Flask, current_app, g
from flask_rq import RQ

from tests.ecosystem.common import URL

rq = RQ()


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.update(RQ_CONNECTION=os.environ[URL], GREETING="hello")
    rq.init_app(app)
    return app


@rq.job
def greet(name: str) -> str:
    """Say also who was greeted in this context before: nobody, for each job has one of its own."""
    before = g.setdefault("greeted", [])
    said = f"{current_app.config['GREETING']} {name}, after {before}"
    before.append(name)
    return said


@rq.job
async def greet_later(name: str) -> str:
    return greet(name)


@rq.job
def pass_on(name: str) -> str:
    """Enqueue a job, which takes the queue of the current app."""
    return str(greet.enqueue(name, job_id=f"passed-on-{name}").id)


@rq.job
def refuse(name: str) -> None:
    raise LookupError(greet(name))
