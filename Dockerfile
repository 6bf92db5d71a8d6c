# One image for every process: `taskflow worker`, `taskflow api`, `taskflow nats`, `taskflow setup` and the sandbox.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
COPY requirements.lock ./
# Everything that the lock names, each file checked by its hash ...
RUN pip wheel --require-hashes --no-deps --requirement requirements.lock --wheel-dir /wheels
COPY pyproject.toml README.md LICENSE ./
COPY activities activities
COPY config config
COPY deploy/healthcheck.py deploy/
COPY domain domain
COPY examples examples
COPY pluginkit pluginkit
COPY sandbox sandbox
COPY shared shared
COPY starter starter
COPY worker worker
COPY workflows workflows
# ... and of that what running needs, from those files alone: no tool for tests or types gets into the image.
RUN python -m venv /opt/taskflow \
    && /opt/taskflow/bin/pip install --no-index --find-links /wheels --upgrade setuptools \
    && /opt/taskflow/bin/pip install --no-index --find-links /wheels --no-build-isolation \
        --config-settings editable_mode=compat --editable ".[nats,otel]" \
    && /opt/taskflow/bin/python -m compileall -q /app

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin taskflow \
    && install --directory --owner taskflow --group taskflow /data /run/taskflow
COPY --from=build /opt/taskflow /opt/taskflow
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/opt/taskflow/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TASKFLOW_LOG_FORMAT=json \
    TASKFLOW_READY_FILE=/run/taskflow/ready
USER 10001
EXPOSE 8088 9464
STOPSIGNAL SIGTERM
# A worker that said it is ready, or an API whose /readyz says so.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "deploy/healthcheck.py"]
CMD ["taskflow", "--help"]
