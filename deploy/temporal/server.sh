#!/bin/sh
# Starts the Temporal server with the password of its database from a file: the image reads it from the environment only.
set -eu

POSTGRES_PWD="$(cat "${POSTGRES_PASSWORD_FILE:?}")"
export POSTGRES_PWD
exec /etc/temporal/entrypoint.sh
