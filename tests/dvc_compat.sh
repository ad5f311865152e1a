#!/usr/bin/env bash
# DVC's own commands must not notice us: compares the help of every command and nested
# subcommand with and without the plugin, and shows what differs. Our own line, in the
# top-level help and among the choices that an error lists, may be there or not.
#
# Usage: [PYTHON=path/to/python] dvc_compat.sh
set -euo pipefail

python=$(command -v "${PYTHON:-python}")
dvc=$(dirname "$python")/dvc
export COLUMNS=80
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# One process walks the whole parser: a process per command would take minutes.
walk() {
    "$python" - <<'EOF'
from dvc.cli.parser import get_main_parser


def walk(parser, name):
    print(f"===== {name} --help", parser.format_help(), sep="\n")
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for command, subparser in action.choices.items():
                if (name, command) != ("dvc", "models"):
                    walk(subparser, f"{name} {command}")


walk(get_main_parser(), "dvc")
EOF
}

# The same through the executable, with the exit codes, also of errors.
execute() {
    for args in "--help" "no-such-command" "pull --no-such-option"; do
        echo "===== dvc $args"
        code=0
        # shellcheck disable=SC2086
        "$dvc" $args || code=$?
        echo "exit code $code"
    done
}

describe() {
    if ! { walk && execute; } >"$1" 2>&1; then
        cat "$1"
        exit 2
    fi
}

(DVC_STUDIO_MODELS_NO_PLUGIN=1 describe "$folder/without") &
(DVC_STUDIO_MODELS_NO_PLUGIN='' describe "$folder/with")
wait $!

# The top-level help is there three times: an unknown command prints it, too.
ours=$(grep -c '^    models  ' "$folder/with" || true)
if [ "$ours" -ne 3 ]; then
    echo "'models' is in DVC's help $ours times instead of 3"
    exit 2
fi
sed -i.all -e '/^    models  /d' -e "/invalid choice/s/, '\{0,1\}models'\{0,1\}//" "$folder/with"
if ! diff -u "$folder/without" "$folder/with"; then
    echo "the plugin changes DVC's own commands"
    exit 1
fi
echo "the help of $(grep -c '^=====' "$folder/with") commands is the same with the plugin"
