#!/usr/bin/env bash
# Measure one piece of an accelerator's campaign: a bundle that no command of ten minutes need finish, since it resumes.
#
#   WINDOWS=1 CELLS=some.csv campaigns/measure.sh PIECE OUT [NAME]      MORE="--dry-run --predictor FILE" adds flags
#
# Pieces, in the order in which they are worth having, with the minutes that one window a cell takes on an H100:
#   certificate                        the counter itself (0.5)
#   MODEL-cache, MODEL-nocache         n = 8, 32, 128, 512 at every m (6, 6; Falcon without cache 13)
#   batch, graph                       cells/batch.csv, and cells/graph.csv without launch overhead (2 each)
#   n2048                              2048 output tokens, m = 32 and 512 (6)
# where MODEL is llama-2-7b, mistral-7b or falcon-7b. Three windows and the cells above, if nothing else is said. CELLS
# for a grid are watched by its own reference cell, (128, 32), however long they are.
set -euo pipefail
piece=$1 out=$2 name=${3:-H100 80GB}
cells=$(dirname "$0")/cells
wattshed=${WATTSHED:-wattshed}

# profile MODEL FLAGS...
profile() {
    local model=$1
    shift
    # shellcheck disable=SC2086  # the command and MORE are words
    $wattshed profile --model "random:$model" --name "$name" --device cuda --precision bf16 --meters nvml \
        --stopping fixed --trials "${WINDOWS:-3}" --reference-every 20 --settle-s 1 --idle-s 5 \
        --campaign-timeout-s 540 --licence CC-BY-4.0 --out "$out" "$@" ${MORE:-}
}
grid=(--design grid --input-tokens "8,32,128,512,2048" --output-tokens "8,32,128,512")
[[ -z ${CELLS:-} ]] || grid=(--design "$CELLS" --reference 128,32)

case $piece in
    certificate) $wattshed meters --meters nvml --seconds 15 --json >"$out" ;;
    *-nocache) profile "${piece%-nocache}" --no-kv-cache "${grid[@]}" ;;
    *-cache) profile "${piece%-cache}" --kv-cache "${grid[@]}" ;;
    batch) profile llama-2-7b --kv-cache --design "${CELLS:-$cells/batch.csv}" ;;
    graph) profile llama-2-7b --kv-cache --configuration static-graph --design "${CELLS:-$cells/graph.csv}" ;;
    n2048) profile llama-2-7b --kv-cache --design grid --input-tokens 32,512 --output-tokens 2048 ;;
    *) echo "no piece '$piece'; the pieces stand at the top of $0" >&2 && exit 2 ;;
esac
