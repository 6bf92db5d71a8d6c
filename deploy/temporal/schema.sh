#!/bin/sh
# Makes and updates both databases of Temporal on PostgreSQL, and ends. A second time changes nothing; after a change of
# the image's version it brings the schemas up to it, which has to come before the new server starts.
set -eu

SQL_PASSWORD="$(cat "${POSTGRES_PASSWORD_FILE:?}")"
export SQL_PASSWORD

for store in temporal:temporal temporal_visibility:visibility; do
    database="${store%%:*}"
    versions="/etc/temporal/schema/postgresql/v12/${store##*:}/versioned"
    sql() { temporal-sql-tool --plugin postgres12 --ep "${POSTGRES_SEEDS:?}" -p 5432 -u "${POSTGRES_USER:?}" --db "$database" "$@"; }
    sql create
    sql setup-schema -v 0.0
    sql update-schema -d "$versions"
done
