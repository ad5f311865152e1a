#!/usr/bin/env bash
# Creates a model registry on this machine: a Git repo with two registered versions, a
# DVC remote, a self-hosted Studio, and a clone that pulls from it. Run: make demo
set -euo pipefail

work=$(mktemp -d)
server=
stop() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap stop EXIT

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
run() { printf '\033[2m$\033[0m %s\n' "$*"; "$@"; }

# Read and write none of the user's settings.
unset "${!DVC_@}" "${!GIT_@}" "${!STUDIO_@}" "${!XDG_@}"
export HOME="$work/home" DVC_SITE_CACHE_DIR="$work/site" DVC_NO_ANALYTICS=1
export DVC_SYSTEM_CONFIG_DIR="$work/system"
export GIT_CONFIG_NOSYSTEM=1 NO_PROXY=127.0.0.1,localhost
export GIT_AUTHOR_NAME=Demo GIT_AUTHOR_EMAIL=demo@example.com
export GIT_COMMITTER_NAME=Demo GIT_COMMITTER_EMAIL=demo@example.com
mkdir "$HOME"

say 'A project with a model file and a model folder, stored with DVC'
git init --quiet --bare --initial-branch=main "$work/origin.git"
git clone --quiet "$work/origin.git" "$work/project" 2>/dev/null
cd "$work/project"
git checkout --quiet -B main
dvc init --quiet
dvc remote add --quiet --default storage "$work/storage"
cat > dvc.yaml <<'YAML'
artifacts:
  churn:
    path: models/churn.pkl
    type: model
  bert:
    path: models/bert
    type: model
YAML

release() { # VERSION SEED
  python - "$2" <<'PYTHON'
import pathlib, random, sys
chance = random.Random(sys.argv[1])
bert = pathlib.Path("models/bert")
bert.mkdir(parents=True, exist_ok=True)
pathlib.Path("models/churn.pkl").write_bytes(chance.randbytes(20_000_000))
for number in range(3):
    (bert / f"weights {number}.bin").write_bytes(chance.randbytes(500_000))
PYTHON
  dvc add --quiet models/churn.pkl models/bert
  git add --all
  git commit --quiet --message "Train models $1"
  gto register churn --version "$1" >/dev/null
  gto register bert --version "$1" >/dev/null
}
release v1.0.0 first
release v2.0.0 second
gto assign churn --version v1.0.0 --stage dev >/dev/null
gto assign churn --version v2.0.0 --stage prod >/dev/null
dvc push --quiet --all-commits
git push --quiet --tags origin main
git tag --list

say 'A self-hosted Studio, because the hosted one needs an account'
DVC_STUDIO_TOKEN=demo-token dvc models serve --port 0 "acme/models=$work/origin.git" \
  > "$work/serve.log" 2>&1 &
server=$!
for _ in $(seq 300); do
  grep -q http "$work/serve.log" && break
  kill -0 "$server" 2>/dev/null || { cat "$work/serve.log"; exit 1; }
  sleep 0.1
done
cat "$work/serve.log"
export DVC_STUDIO_URL DVC_STUDIO_TOKEN=demo-token
DVC_STUDIO_URL=$(grep -o 'http://[^ ]*' "$work/serve.log" | head -n 1)

say 'Another clone, with one token and no storage credentials'
git clone --quiet "$work/origin.git" "$work/clone"
cd "$work/clone"
git remote set-url origin git@github.com:acme/models.git # as if cloned from there
dvc remote remove --quiet storage                        # the pulls below do not use it
run dvc models pull churn --stage prod
run dvc models pull bert
cmp models/churn.pkl "$work/project/models/churn.pkl"
echo 'models/churn.pkl equals the file registered as v2.0.0, byte for byte'

say 'DVC reports no changes, and a second pull has nothing to do'
run dvc status
run dvc models pull churn --stage prod

say 'Pull the other version, and switch back without a download'
run dvc models pull churn@v1.0.0
run dvc models list
run dvc models pull churn#prod
