#!/bin/sh
# Makes the secrets that docker-compose.yml mounts, in deploy/compose/secrets or the folder that is named. Those that are
# there stay as they are. Keep a copy: what codec-keys encrypted can be read by nothing else.
set -eu

folder="${1:-$(dirname "$0")/secrets}"
umask 077
mkdir -p "$folder"

random() { head -c "$1" /dev/urandom | base64 | tr -d '\n'; }
make() {
    if [ -e "$folder/$1" ]; then
        echo "$folder/$1 is there"
        return
    fi
    # Containers read it as users of their own; the folder is what keeps it from others on this machine.
    printf '%s\n' "$2" >"$folder/$1.new"
    chmod 444 "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
    echo "$folder/$1 made"
}

make postgres-password "$(random 24 | tr '+/' '-_')"
make grafana-admin-password "$(random 24 | tr '+/' '-_')"
make plugin-secret "whsec_$(random 32)"
make codec-keys "key-1 $(random 32)"
