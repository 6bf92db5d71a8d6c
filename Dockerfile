# One image for every process: `taskflow worker`, `taskflow api`, the sandbox and the embedded server.
FROM python:3.11-slim

RUN useradd --create-home taskflow
WORKDIR /app
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e . \
    && mkdir -p /data /shared && chown taskflow /data /shared
USER taskflow
CMD ["taskflow", "--help"]
