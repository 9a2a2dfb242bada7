#!/usr/bin/env bash
# Make bundled:h100 of the bundles that lie here; the same bundles give the same bytes.
#   campaigns/h100/publish.sh src/wattshed/datasets/bundled/h100
set -euo pipefail
here=$(dirname "$0")
no_cache="H100 80GB (no cache)" cache="H100 80GB (KV cache)"
exec "${WATTSHED:-wattshed}" publish \
    "$here"/{llama-nocache,llama-cache,llama-graph,mistral-nocache,mistral-cache,falcon-nocache,falcon-cache} \
    --name h100 --title "One NVIDIA H100, three 7B models" --licence CC-BY-4.0 --out "$1" \
    --source "campaigns/h100 in the repository of Wattshed" \
    --system llama-nocache="$no_cache" --system mistral-nocache="$no_cache" --system falcon-nocache="$no_cache" \
    --system llama-cache="$cache" --system mistral-cache="$cache" --system falcon-cache="$cache" \
    --system llama-graph="H100 80GB (static graph)" \
    --fault "Weights are random: the work is that of the published architectures, the words are not." \
    --fault "Two rented virtual machines: llama-cache and llama-graph ran on one of them, though each was given a host label of its own; all others on another." \
    --fault "The hosts kept no steady pace: cells that the host bounds took up to three times as long at one time as at another. Compare cells bound by the device." \
    --fault "Time was short: most cells rest on one window. Missing: eager batches, Falcon beyond 128 output tokens, 2048 output tokens, and the cells that are listed as not measured." \
    --fault "Cells that failed for cold_shapes were measured on lengths that the engine met for the first time, and took up to three times as long; they count as warm-ups." \
    --fault "Falcon's own limit is 2048 tokens in all; its cells with 2048 input tokens go beyond it." \
    --fault "The processor had no working meter: only the board's joules are known."
