#!/bin/sh
# Pulls what is in the stage prod, then starts the service. If Studio or the storage cannot
# be reached, the service starts with the version that is there.
set -eu
dvc models pull 'churn#prod' --out /app --quiet || {
    code=$?
    [ "$code" = 5 ] && [ -e /app/models/churn.pkl ] || exit "$code"
}
exec "$@"
