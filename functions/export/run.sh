#!/bin/bash
# The Lambda Web Adapter starts this, waits until the port answers, and sends it every request.
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}/opt/python:${LAMBDA_RUNTIME_DIR:-/var/runtime}"
# Metrics are lines of the standard output, and a frozen process keeps what it has not written.
export PYTHONUNBUFFERED=1
exec python -m uvicorn --host 127.0.0.1 --port "${AWS_LWA_PORT:-${PORT:-8080}}" --log-level warning --no-access-log app:app
