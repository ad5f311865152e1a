#!/usr/bin/env bash
# The stores that tests/e2e/test_stores.py runs against, into .test-servers/ of the checkout:
# LocalStack (S3), Azurite (Azure) and, of the system, nginx and openssl (http, TLS).
# Run it as often as you like. As root on Debian it installs what the system lacks;
# elsewhere it installs what it can, says what is missing and fails.
set -euo pipefail
cd "$(dirname "$0")/../.."

LOCALSTACK=4.9.2
RESOLVED=2025-10-15 # what LocalStack depends on has moved on since, and breaks it
AZURITE=3.35
STORES=$PWD/.test-servers
PATH=$PATH:/usr/sbin # where Debian has nginx, though not for every user

missing=
mkdir -p "$STORES"

lacks() { # COMMAND PACKAGE...; installs the packages where it may
  command -v "$1" >/dev/null && return 1
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive \
      apt-get install -qq -y --no-install-recommends "${@:2}" >/dev/null
  fi
  command -v "$1" >/dev/null && return 1
  missing="$missing"$'\n'"  $1 (Debian: ${*:2})"
}

find_uv() {
  for uv in uv .venv/bin/uv "$STORES/uv/bin/uv"; do
    "$uv" --version >/dev/null 2>&1 && return
  done
  python3 -m venv "$STORES/uv"
  "$uv" --version >/dev/null 2>&1 || "$STORES/uv/bin/pip" install --quiet uv
}

install_localstack() {
  local folder=$STORES/localstack
  rm -rf "$folder"
  find_uv
  if ! "$uv" venv --quiet --no-python-downloads --python '>=3.10,<3.14' "$folder"; then
    missing="$missing"$'\n'"  a Python of 3.10 to 3.13, for LocalStack"
    return
  fi
  "$uv" pip install --quiet --compile-bytecode --python "$folder/bin/python" \
    --exclude-newer "$RESOLVED" "localstack-core[base-runtime]==$LOCALSTACK"
  echo "$LOCALSTACK $RESOLVED" > "$folder/.installed"
}

install_azurite() {
  lacks npm npm && return
  local folder=$STORES/azurite
  rm -rf "$folder"
  mkdir "$folder"
  npm install --silent --no-audit --no-fund --prefix "$folder" "azurite@$AZURITE"
  echo "$AZURITE" > "$folder/.installed"
}

holds() { [ "$(cat "$STORES/$1/.installed" 2>/dev/null)" = "$2" ]; }

lacks nginx nginx-light || true
lacks openssl openssl || true
holds localstack "$LOCALSTACK $RESOLVED" || install_localstack
lacks node nodejs || holds azurite "$AZURITE" || install_azurite

if [ -n "$missing" ]; then
  echo "install these, then run $0 again:$missing" >&2
  exit 1
fi
