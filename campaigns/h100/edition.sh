# What campaigns/publish.sh cannot know of this machine.
# shellcheck shell=bash disable=SC2034
title="One NVIDIA H100, three 7B models"
machine="H100 80GB"
called=(
    [llama-batch]="H100 80GB (KV cache, third host)"
    [llama-nocache-long]="H100 80GB (no cache, third host)"
    [llama-graph-windows]="H100 80GB (static graph, fourth host)"
    [llama-batch-windows]="H100 80GB (KV cache, fourth host)"
    [llama-nocache-longest]="H100 80GB (no cache, fourth host)"
    [mistral-nocache-rest]="H100 80GB (no cache, fourth host)"
    [mistral-cache-rest]="H100 80GB (KV cache, fourth host)"
    [falcon-nocache-rest]="H100 80GB (no cache, fourth host)"
    [falcon-cache-long]="H100 80GB (KV cache, fourth host)"
)
faults=(
    "Weights are random: the work is that of the published architectures, the words are not."
    "Four rented virtual machines: llama-cache and llama-graph ran on one of them, though each was given a host label of its own; llama-batch and llama-nocache-long on the third; llama-graph-windows, llama-batch-windows, llama-nocache-longest, falcon-cache-long and all that end in -rest on the fourth; all others on the second."
    "The hosts kept no steady pace: cells that the host bounds took up to three times as long at one time as at another. Compare cells bound by the device."
    "Time was short: most cells rest on one window. Missing: Falcon beyond 128 output tokens, but for (128, 512) with a cache, and 2048 output tokens. Cells that failed in one campaign may stand in another."
    "Cells that failed for cold_shapes were measured on lengths that the engine met for the first time, and took up to three times as long; they count as warm-ups."
    "Falcon's own limit is 2048 tokens in all; its cells with 2048 input tokens go beyond it."
    "llama-cache and llama-graph were measured with a meter that asked for the counter at each sample, and took 4.2 and 6.8 % of a core; later ones take less than 1 %."
    "The processor had no working meter: only the board's joules are known."
)
