"""Tab completion of models, versions and stages from local tags.

Starting DVC takes half a second, so the shell itself runs ``git`` and ``awk``: one
function interprets the tags as GTO does, and one for each shell completes the word.
shtab adds both to the output of ``dvc completion``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc.cli.completion import DIR

if TYPE_CHECKING:
    import argparse

_TAGS = r"""
# List models, versions or stages of the local GTO tags.
# $1: 'names'; '@' or '#' for the versions or stages of model $2, as in NAME@VERSION;
#     'versions' or 'stages' of the models in the command line $2, or of all models
_dvc_models_list() {
  git show-ref --tags --dereference 2>/dev/null |
  DVC_MODELS_WANT=$1 DVC_MODELS_LINE=$2 LC_ALL=C awk '
    function later(times, key) { if (time > times[key] + 0) times[key] = time }
    function offer(text) { if (!(text in offered)) print text; offered[text] = 1 }
    function count(commit, tag,    cancels, at, name, mark, value, key) {
      if (tag ~ /[@#].*#[0-9]+$/) sub(/#[0-9]+$/, "", tag)
      cancels = sub(/!$/, "", tag)
      at = match(tag, /[@#]/)
      name = substr(tag, 1, at - 1); sub(/=/, ":", name)
      mark = substr(tag, at, 1); value = substr(tag, at + 1)
      # The shell expands these words, so allow only what GTO allows.
      if (name !~ NAME) return
      if (mark == "@" && value == "deprecated") { later(deprecated, name); return }
      if (mark == "@" && value !~ VERSION) return
      if (mark == "#" && value !~ STAGE) return
      later(alive, name)
      key = name SUBSEP mark SUBSEP value SUBSEP commit
      if (cancels) later(off, key); else later(on, key)
      if (mark == "@") version[name, commit] = key
    }
    # Dates matter only if tags cancel others; to read them takes ten times as long.
    function count_dated(    tags) {
      split("", on); split("", alive); split("", version)
      tags = "git tag --list --no-column --format=\"%(taggerdate:unix) " \
        "%(*objectname) %(refname:strip=2)\" \"*[@#]*\" 2>/dev/null"
      while ((tags | getline) > 0) {
        time = $1
        if (NF == 3) count($2, $3)
      }
    }

    BEGIN {
      STAGE = "^[a-zA-Z0-9]([a-zA-Z0-9_/-]*[a-zA-Z0-9])?$"
      NAME = "^([a-zA-Z0-9_./-]+:)?" substr(STAGE, 2)
      VERSION = "^v[0-9]+[.][0-9]+[.][0-9]+[0-9a-zA-Z.+-]*$"
      want = ENVIRON["DVC_MODELS_WANT"]; of = ENVIRON["DVC_MODELS_LINE"]
      only = want == "@" || want == "#" ? of : ""
      sub(/:/, "=", only)
      time = 1
    }
    # An annotated tag has a second line with its commit; the others are ignored.
    !/[\^][{][}]$/ || (only != "" && !index($2, "/" only)) { next }
    /![#\^]/ || /@deprecated/ { is_dated = 1 }
    !is_dated { count($1, substr($2, 11, length($2) - 13)) }
    END {
      if (is_dated) count_dated()
      word["@"] = "versions"; word["#"] = "stages"; line = " " of " "
      for (key in on) {
        split(key, part, SUBSEP); name = part[1]; mark = part[2]
        if (on[key] <= off[key] + 0 || alive[name] < deprecated[name] + 0) continue
        at = version[name, part[4]]
        if (mark == "#" && at != "" && on[at] <= off[at] + 0) continue
        if (want == "names") offer(name)
        if (want == mark && of == name) offer(name mark part[3])
        is_named = index(line, " " name " ") > 0
        named = named || is_named
        if (want == word[mark]) {
          all[part[3]] = 1
          if (is_named) of_named[part[3]] = 1
        }
      }
      if (named) for (value in of_named) offer(value)
      else for (value in all) offer(value)
    }'
}
"""

_BASH = (
    _TAGS
    + r"""
# $1: the word as readline cuts it: after a ':', before an '@'
_dvc_models_compgen_models() {
  local typed=${COMP_LINE:0:COMP_POINT}
  typed=${typed##*[[:space:]]}
  typed=${typed:-$1}
  local prefix=${typed%"${typed##*[$COMP_WORDBREAKS]}"} found
  prefix=${prefix%@}
  case $typed in
    *@*) found=$(_dvc_models_list @ "${typed%%@*}") ;;
    *'#'*) found=$(_dvc_models_list '#' "${typed%%'#'*}") ;;
    *) found=$(_dvc_models_list names) ;;
  esac
  while IFS= read -r found; do
    printf '%s\n' "${found#"$prefix"}"
  done < <(compgen -W "$found" -- "$typed")
}
_dvc_models_compgen_versions() {
  compgen -W "$(_dvc_models_list versions "$COMP_LINE")" -- "$1"
}
_dvc_models_compgen_stages() {
  compgen -W "$(_dvc_models_list stages "$COMP_LINE")" -- "$1"
}
"""
)

_ZSH = (
    _TAGS
    + r"""
# shtab lets a NAME be completed only once; '*' allows any number of them.
() {
  local options
  for options in ${(Mk)parameters:#_shtab_dvc_models_*_options}; do
    set -A $options "${(@)${(@)${(@P)options}/#\(\*\)::/*:}/#\(\*\):/*:}"
  done
}

_dvc_models_compadd_models() {
  local -a found
  case $PREFIX in
    *@*) found=(${(f)"$(_dvc_models_list @ "${PREFIX%%@*}")"}) ;;
    *'#'*) found=(${(f)"$(_dvc_models_list '#' "${PREFIX%%(\\|)'#'*}")"}) ;;
    *) found=(${(f)"$(_dvc_models_list names)"}) ;;
  esac
  compadd "$@" -a found
}
_dvc_models_compadd_versions() {
  local -a found=(${(f)"$(_dvc_models_list versions "$words")"})
  compadd "$@" -a found
}
_dvc_models_compadd_stages() {
  local -a found=(${(f)"$(_dvc_models_list stages "$words")"})
  compadd "$@" -a found
}
"""
)


def _functions(what: str) -> dict[str, object]:
    """Return the shell functions for an argument, in the form that shtab expects."""
    return {
        "bash": f"_dvc_models_compgen_{what}",
        "zsh": f"_dvc_models_compadd_{what}",
        "preamble": {"bash": _BASH, "zsh": _ZSH},
    }


_BY_ARGUMENT = {
    "name": _functions("models"),
    "names": _functions("models"),
    "old": _functions("models"),
    "new": _functions("models"),
    "version": _functions("versions"),
    "stage": _functions("stages"),
    "out": DIR,
    "cache_dir": DIR,
    "projects": DIR,
}


def complete_models(parser: argparse.ArgumentParser) -> None:
    """Complete models, versions, stages and folders in the arguments of a command."""
    for action in parser._actions:
        if action.dest in _BY_ARGUMENT:
            action.complete = _BY_ARGUMENT[action.dest]  # type: ignore[attr-defined]
