#!/bin/sh
# Builds the Vault test server once per machine and prints where it is. The first time takes minutes: 1,700 packages.
# The binary lies outside the tree and is named after its sources; nothing of Vault is in the tree or is ever shipped.
set -eu
cd "$(dirname "$0")"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/veilflow"
binary="$cache/vault-$(cat main.go go.mod go.sum | sha256sum | cut -c1-16)"
if [ ! -x "$binary" ]; then
    command -v go >/dev/null || { echo "the Vault test server needs Go (https://go.dev), or a vault or bao on the PATH" >&2; exit 1; }
    mkdir -p "$cache"
    exec 9>"$cache/vault.lock"
    if command -v flock >/dev/null; then flock 9; fi
    if [ ! -x "$binary" ]; then
        echo "building the Vault test server, once per machine (minutes)" >&2
        nice -n 10 go build -mod=readonly -trimpath -ldflags="-s -w" -o "$binary.$$" . && mv "$binary.$$" "$binary"
    fi
fi
echo "$binary"
