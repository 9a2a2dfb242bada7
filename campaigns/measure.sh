#!/usr/bin/env bash
# Measure one piece of an accelerator's campaign: a bundle that takes less than ten minutes, and can be resumed.
#
#   campaigns/measure.sh PIECE OUT [NAME]            MORE="--dry-run --predictor FILE" adds flags
#
# Pieces, in the order in which they are worth having, with the minutes that `--dry-run` foresees on an H100:
#   certificate                                             the counter itself (0.5)
#   MODEL-cache-short, MODEL-nocache-short                  n = 8, 32, 128 at every m, two windows (3.5, 4)
#   MODEL-cache-long, MODEL-nocache-long                    n = 512 at every m, one window (4, 5; Falcon 4, 11)
#   batch, graph, graph-batch                               (512, 128) at 1 ... 128 at once; no launch overhead (2 each)
#   n2048                                                   2048 output tokens, one window, m = 32 and 512 (6)
# where MODEL is llama-2-7b, mistral-7b or falcon-7b.
set -euo pipefail
piece=$1 out=$2 name=${3:-H100 80GB}
wattshed=${WATTSHED:-wattshed}

# profile MODEL WINDOWS FLAGS...
profile() {
    local model=$1 windows=$2
    shift 2
    # shellcheck disable=SC2086  # MORE is words
    "$wattshed" profile --model "random:$model" --name "$name" --device cuda --precision bf16 --meters nvml \
        --stopping fixed --trials "$windows" --reference-every 20 --settle-s 1 --idle-s 5 --campaign-timeout-s 540 \
        --licence CC-BY-4.0 --out "$out" "$@" ${MORE:-}
}
grid=(--design grid --input-tokens "8,32,128,512,2048" --output-tokens)
together=(--design batch --input-tokens 512 --output-tokens 128 --concurrency "1,4,16,64,128")

case $piece in
    certificate) "$wattshed" meters --meters nvml --seconds 15 --json >"$out" ;;
    *-nocache-short) profile "${piece%-nocache-short}" 2 --no-kv-cache "${grid[@]}" 8,32,128 ;;
    *-nocache-long) profile "${piece%-nocache-long}" 1 --no-kv-cache "${grid[@]}" 512 ;;
    *-cache-short) profile "${piece%-cache-short}" 2 --kv-cache "${grid[@]}" 8,32,128 ;;
    *-cache-long) profile "${piece%-cache-long}" 1 --kv-cache "${grid[@]}" 512 ;;
    batch) profile llama-2-7b 2 --kv-cache "${together[@]}" ;;
    graph) profile llama-2-7b 2 --kv-cache --configuration static-graph "${grid[@]}" 128 ;;
    graph-batch) profile llama-2-7b 2 --kv-cache --configuration static-graph "${together[@]}" ;;
    n2048) profile llama-2-7b 1 --kv-cache --design grid --input-tokens 32,512 --output-tokens 2048 ;;
    *) echo "no piece '$piece'; the pieces stand at the top of $0" >&2 && exit 2 ;;
esac
