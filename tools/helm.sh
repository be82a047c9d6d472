#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the real helm as a Go module into ~/.cache/weft/helm, for the test that compares it with `weft install --dry-run`
# (test/unit/install/helm.py). About two minutes once; needs Go and the module proxy. Exit 77: it cannot be had here.
set -euo pipefail
: "${HELM_VERSION:=v3.19.0}"
to=$HOME/.cache/weft/helm
[ -x "$to/helm" ] && exit 0
command -v go >/dev/null || { echo "helm: no Go here" >&2; exit 77; }
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
printf 'module helmbuild\ngo 1.24\n' >go.mod
printf '//go:build tools\n\npackage main\n\nimport _ "helm.sh/helm/v3/cmd/helm"\n' >tools.go
go get "helm.sh/helm/v3@$HELM_VERSION" >get.log 2>&1 || { tail -3 get.log >&2; echo "helm: its modules cannot be fetched" >&2; exit 77; }
mkdir -p "$to"
CGO_ENABLED=0 go build -mod=mod -p 2 -trimpath -ldflags="-s -w" -o "$to/helm.new" helm.sh/helm/v3/cmd/helm
mv "$to/helm.new" "$to/helm"
