#!/usr/bin/env bash
# Make bundled:NAME of the bundles in campaigns/NAME; the same bundles give the same bytes.
#   campaigns/publish.sh NAME src/wattshed/datasets/bundled/NAME
#
# A bundle is called MODEL-PIECE, as measure.sh calls its pieces, and more words may follow. What is known of a machine
# stands in campaigns/NAME/edition.sh: its `title`, the `machine` that systems are called by, its `faults`, and a name
# in `called` for each bundle whose system needs another one (a second host, say).
set -euo pipefail
shopt -s nullglob
name=$1 out=$2 here=$(dirname "$0")/$1
declare -A called=()
# shellcheck source=/dev/null
source "$here/edition.sh"

bundles=("$here"/{llama,mistral,falcon}-{nocache,cache,batch,graph}*)
flags=()
for bundle in "${bundles[@]}"; do
    piece=$(basename "$bundle")
    case $piece in
        *-nocache*) doing="no cache" ;;
        *-graph*) doing="static graph" ;;
        *) doing="KV cache" ;;
    esac
    flags+=(--system "$piece=${called[$piece]:-$machine ($doing)}")
done
for fault in "${faults[@]}"; do
    flags+=(--fault "$fault")
done
exec "${WATTSHED:-wattshed}" publish "${bundles[@]}" --name "$name" --title "$title" --licence CC-BY-4.0 --out "$out" \
    --source "campaigns/$name in the repository of Wattshed" "${flags[@]}"
