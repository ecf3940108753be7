"""Sets up OpenTelemetry's SDK in a service, as its own environment variables ask for it."""

from __future__ import annotations

import logging
import os
from typing import Any

log = logging.getLogger(__name__)

_FLUSH_MS = 2000  # how long the last spans may take at the end
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def set_up(worker: str) -> Any:
    """Export spans by OTLP over HTTP if one of ``_ENDPOINTS`` is set; returns the provider, or None.

    The exporter reads all else from OpenTelemetry's variables: headers, timeout, sampler, ``OTEL_SERVICE_NAME``. A
    provider that is there already, as with ``opentelemetry-instrument``, is left as it is.
    """
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return None
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        log.warning("spans are asked for, and %s: pip install 'taskq-pool[otel]'", error,
                    extra={"action": "no_otel"})  # fmt: skip
        return None
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return None
    name = os.environ.get("OTEL_SERVICE_NAME") or "taskq-worker"
    provider = TracerProvider(resource=Resource.create({"service.name": name, "service.instance.id": worker}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider


def flush(provider: Any) -> None:
    """Send what is left; bounded."""
    if provider is not None:
        provider.force_flush(_FLUSH_MS)
