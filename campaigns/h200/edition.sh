# What campaigns/publish.sh cannot know of this machine.
# shellcheck shell=bash disable=SC2034
title="One NVIDIA H200, Llama-2 7B"
machine="H200 141GB"
faults=(
    "Weights are random: the work is that of the published architecture, the words are not."
    "A rented virtual machine: eager cells that its host bounds tell of that host. Compare cells bound by the device."
    "Time was short: cells rest on one window, but for the reference cells. Missing: Mistral, Falcon, 2048 output tokens, and (2048, 512) without a cache."
    "The processor had no working meter: only the board's joules are known."
)
